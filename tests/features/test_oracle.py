"""The kernel against the naive oracle: every record feature, at several times."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import FEATURES, INDEX
from features.kernel import advance
from features.market import Market
from features.reading import read
from features.terms import Terms
from messages.inputs import MarketIndicator
from tests.features.histories import DAY, START, Event, Life, columns, fresh
from tests.oracle.naive import features_of

RECORD_FEATURES = [feature.name for feature in FEATURES if feature.owner == "record"]
MARKET = Market().with_indicator(
    MarketIndicator(event_id="m", region="north", time=START * 1_000, indicator="price_index", value=3.0, normal=2.0)
)


def assert_equal_to_oracle(events: list[Event], at: int, terms: Terms) -> None:
    records = fresh(["user-1"])
    # Nobody is retired in these histories: the oracle knows nothing of that.
    advance(records, columns(events, {"user-1": 0}), 0, terms, MARKET)
    got = read(records, np.array([at]), terms, MARKET)[0]
    want = features_of(events, at, terms, MARKET)
    assert set(want) == set(RECORD_FEATURES)
    wrong = {
        name: (got[INDEX[name]], want[name])
        for name in RECORD_FEATURES
        if got[INDEX[name]] != pytest.approx(want[name], rel=1e-9, abs=1e-9)
    }
    assert not wrong
    assert np.isfinite(got).all()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(1, 150),
    days=st.sampled_from([1, 2, 10, 60, 200, 500]),
    later=st.sampled_from([0, 1_000, 5_000, 30_000, DAY, 8 * DAY, 120 * DAY]),
)
def test_the_kernel_reads_what_the_oracle_recomputes_from_all_events(
    seed: int, number: int, days: int, later: int
) -> None:
    random = Random(seed)
    events = Life(random).events(number, days)
    at = max(event["time"] for event in events) // 1_000 + random.randrange(later + 1)
    assert_equal_to_oracle(events, at, Terms(retention_days=20_000, night_start=random.choice([0, 22])))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(2, 100), days=st.integers(1, 300))
def test_that_holds_for_events_in_any_order_and_repeated(seed: int, number: int, days: int) -> None:
    random = Random(seed)
    events = Life(random).events(number, days)
    random.shuffle(events)
    events += [dict(event) for event in random.choices(events, k=number // 4)]
    at = max(event["time"] for event in events) // 1_000 + random.randrange(40 * DAY)
    assert_equal_to_oracle(events, at, Terms(retention_days=20_000))
