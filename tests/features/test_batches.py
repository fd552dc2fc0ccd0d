"""Order, repeats and cuts: what must not show in records and rows."""

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.kernel import Advanced, advance
from features.market import Market
from features.record import FEATURE_FIELDS
from features.terms import Terms
from messages.vocabulary import Kind
from tests.features.histories import Event, Life, columns, fresh

USERS = ("user-1", "user-2", "user-3")
#: May depend on the order of arrival: what is remembered of arrivals, and what rows decided.
OF_ARRIVAL = {"recent", "recent_next", "next_timer", "late"}
MARKET = Market()


def histories(random: Random, number: int, days: int) -> list[Event]:
    events = [event for user in USERS for event in Life(random, user).events(number, days)]
    events += [dict(event) for event in random.choices(events, k=number // 5)]
    # Arrival is close to the order of time, with some far behind.
    lag = [random.choice([0, 0, 0, 1_800, 7_200, 400_000]) for _ in events]
    order = sorted(range(len(events)), key=lambda i: (events[i]["time"] // 1_000 + lag[i], i))
    return [events[i] for i in order]


def run(events: Sequence[Event], cuts: Sequence[int], terms: Terms) -> tuple[NDArray[np.void], list[Advanced]]:
    """Advance in batches that end at `cuts`; rows whose timer is due are found among all, as a store would."""
    whole = columns(events, {user: row for row, user in enumerate(USERS)})
    records, watermark, parts, begin = fresh(USERS), 0, [], 0
    for end in cuts:
        part = advance(records, whole[begin:end], watermark, terms, MARKET)
        parts.append(part)
        watermark, begin = part.watermark, end
    return records, parts


def joined(parts: Sequence[Advanced], name: str) -> NDArray[np.generic]:
    return np.concatenate([getattr(part, name) for part in parts])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(5, 60), days=st.integers(1, 400), erase=st.booleans())
def test_where_a_stream_is_cut_shows_in_no_byte_of_records_and_rows(
    seed: int, number: int, days: int, erase: bool
) -> None:
    random = Random(seed)
    events = histories(random, number, days)
    if erase:
        middle = {name: events[len(events) // 2][name] for name in ("user_id", "time")}
        events.insert(len(events) // 2, middle | {"event_id": "erase", "type": "erasure_requested"})
    terms, n = Terms(horizon_days=random.choice([20, 60]), retention_days=random.choice([30, 730])), len(events)
    records, parts = run(events, [n], terms)
    cuts = sorted({*random.choices(range(1, n + 1), k=5), n})
    for other_cuts in (range(1, n + 1), [*range(7, n, 7), n], cuts):
        other_records, other_parts = run(events, list(other_cuts), terms)
        assert records.tobytes() == other_records.tobytes()
        for name in ("features", "time", "row", "label", "opened", "retire", "disposition"):
            assert joined(parts, name).tobytes() == joined(other_parts, name).tobytes(), name


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(5, 60), days=st.integers(1, 80))
def test_order_within_the_allowed_lateness_and_repeats_leave_the_state_as_it_is(
    seed: int, number: int, days: int
) -> None:
    random, terms = Random(seed), Terms()
    # Six bills, each issued once and well before it is due: what the ledger promises order independence for.
    events = []
    for user in USERS:
        issued = set[str]()
        for event in Life(random, user, bills=6, carries=random.random() < 0.5).events(number, days):
            if event["type"] == "bill_issued":
                event["due_time"] = event["time"] + 20 * 86_400_000
                if event["bill_id"] in issued:
                    continue
                issued.add(event["bill_id"])
            events.append(event)
    events.sort(key=lambda event: event["time"])
    shuffled = sorted(events, key=lambda event: event["time"] + random.randrange(terms.allowed_lateness * 1_000))
    for repeat in random.choices(shuffled, k=3):
        shuffled.insert(shuffled.index(repeat) + 1, dict(repeat))
    one, _ = run(events, [len(events)], terms)
    other, parts = run(shuffled, [len(shuffled)], terms)
    assert (joined(parts, "disposition") == 0).sum() == 3
    for name in set(FEATURE_FIELDS) - OF_ARRIVAL:
        if not name.startswith("example_"):
            assert one[name].tobytes() == other[name].tobytes(), name


def test_rows_of_timers_come_before_the_event_that_moved_the_watermark_past_them() -> None:
    random = Random(5)
    events = histories(random, 60, 200)
    whole = columns(events, {user: row for row, user in enumerate(USERS)})
    terms, records = Terms(), fresh(USERS)
    got = advance(records, whole, 0, terms, MARKET)
    running = np.maximum.accumulate(whole["time"] - terms.allowed_lateness)
    timers = got.event < 0
    assert timers.sum() > 5
    assert (got.features[timers, 0] == Kind.TICK).all()
    reached = running[got.at[timers]]
    assert (reached >= got.time[timers]).all()
    first = got.at[timers] > 0
    assert (running[got.at[timers][first] - 1] < got.time[timers][first]).all()
    assert (np.diff(got.at) >= 0).all()
