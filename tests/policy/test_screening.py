"""Rows that are screened out decide nothing: judged with and without the screen, a batch comes to the same."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import policy.judge as judging
from features.catalogue import FEATURES, INDEX
from features.kernel import Advanced
from features.record import DAY, RECORD
from messages.columns import EVENT, Events, Source
from messages.vocabulary import Kind
from policy import triggers
from policy.columns import Columns
from policy.judge import judge
from policy.policy import Policy, default_text, load, load_default
from policy.screening import Screen, Screened, may_decide
from policy.standing import STANDING, gather
from tests.policy.rows import DEFAULTS, START, Told

ROWS, USERS = 400, 60
KINDS = [Kind.PURCHASE, Kind.REPAYMENT, Kind.BROWSE, Kind.TICK, Kind.LIMIT_REQUEST, Kind.ACCOUNT_OPENED]
CHANCES = [0.5, 0.25, 0.15, 0.06, 0.02, 0.02]


def _batch(seed: int, *, sound: bool) -> tuple[NDArray[np.void], Advanced, Events, list[str]]:
    """Users with any standing, and rows with any features, some of them no numbers unless all is `sound`."""
    rng = np.random.default_rng(seed)
    records = np.zeros(USERS, RECORD)
    now = START + 200 * DAY
    for name in ("limit_changed", "limit_raised", "limit_cut", "grade_changed", "counted_from"):
        records[name] = rng.integers(now - 100 * DAY, now, USERS)
    records["limit"] = records["starting_limit"] = rng.integers(0, 60, USERS) * 100_000
    records["limit_version"] = rng.integers(0, 3, USERS)
    records["frozen"] = rng.choice(3, USERS, p=[0.7, 0.2, 0.1])
    records["limit_before_freeze"] = np.where(records["frozen"] == 1, records["limit"], 0)
    records["grade"] = rng.choice(4, USERS, p=[0.1, 0.5, 0.2, 0.2])
    records["published_probability"] = rng.uniform(0, 0.3, USERS)
    records["collection_step"] = rng.choice(5, USERS, p=[0.8, 0.05, 0.05, 0.05, 0.05])
    for name in ("raises_counted", "cuts_counted", "warnings_counted"):
        records[name] = rng.integers(0, 3, USERS)
    records["warning_severity"] = np.where(rng.random((USERS, 32)) < 0.05, rng.integers(1, 5, (USERS, 32)), 0)
    records["warning_since"] = rng.integers(now - 20 * DAY, now, (USERS, 32))

    features = np.tile(DEFAULTS, (ROWS, 1))
    recorded = [i for i, feature in enumerate(FEATURES) if feature.owner == "record"]
    strange = rng.choice([0.0, 0.3, 0.9, 1.0, 2.0, 6.0, 40.0, 1e6, 5e6], (ROWS, len(recorded)))
    features[:, recorded] = np.where(rng.random(strange.shape) < 0.08, strange, features[:, recorded])
    features[rng.random(features.shape) < 0.0002] = np.nan
    for name in ("consents_to_automation", "consents_to_increases"):
        features[:, INDEX[name]] = rng.choice([0.0, 1.0], ROWS, p=[0.2, 0.8])
    features[:, INDEX["events_total"]] = rng.choice([0.05, 0.1, 0.3, np.nan], ROWS, p=[0.6, 0.3, 0.09, 0.01])
    features = np.nan_to_num(features) if sound else features
    kind = np.array(KINDS)[rng.choice(len(KINDS), ROWS, p=CHANCES)]
    columns = np.zeros(ROWS, EVENT)
    columns["kind"], columns["amount"] = kind, rng.integers(0, 50, ROWS) * 100_000
    advanced = Advanced(
        features=features,
        event=np.where(kind == Kind.TICK, -1, np.arange(ROWS)).astype(np.int32),
        at=np.arange(ROWS, dtype=np.int32),
        time=now + np.sort(rng.integers(0, 3 * DAY, ROWS)),
        row=rng.integers(0, USERS, ROWS).astype(np.uint32),
        label=np.zeros(ROWS, np.uint8),
        opened=np.zeros(ROWS, np.bool_),
        retire=rng.random(ROWS) < 0.005,
        disposition=np.ones(ROWS, np.uint8),
        spans=(),
    )
    names = [f"e{i}" for i in range(ROWS)]
    numbers = np.zeros(ROWS, np.uint16), np.arange(ROWS), np.zeros(ROWS, np.int64)
    return records, advanced, Events(columns, names, names, names, (Source("p", 0),), *numbers), names[:USERS]


def _decided(policy: Policy, seed: int, *, sound: bool) -> tuple[Any, ...]:
    records, advanced, events, users = _batch(seed, sound=sound)
    rows, whose = np.unique(advanced.row, return_inverse=True)
    standing = gather(records, rows)
    judged = judge(standing, whose, advanced, events, users, policy, Told())
    parts = judged.grade, judged.limit, standing, judged.changed, advanced.features
    return judged.drafts, *(part.tobytes() for part in parts)


def _guarded() -> Policy:
    """A policy whose conditions divide, negate and combine."""
    text = default_text()
    old = "spend_count_90d >= 4 and cash_like_share_90d + gift_card_share_90d >= 0.5"
    assert text.count(old) == 1
    new = "not (owed == 0 or spend_sum_90d / owed < 2) or (min(owed, limit) / income_estimate > 3 and owed > 1)"
    return load(text.replace(old, new))


@pytest.mark.parametrize("policy", [load_default(), _guarded()], ids=["default", "guarded"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("sound", [True, False], ids=["sound", "unsound"])
def test_the_screen_changes_no_decision(
    policy: Policy, seed: int, sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screened = _decided(policy, seed, sound=sound)
    assert screened[0]
    monkeypatch.setattr(judging, "may_decide", _let_all_through)
    assert _decided(policy, seed, sound=sound) == screened


def _let_all_through(ready: Screen, features: NDArray[np.float64], *_: Any) -> Screened:
    return Screened(np.ones(len(features), np.bool_), ready, None)


def test_most_rows_of_a_quiet_book_are_screened_out() -> None:
    ready = load_default().screen
    features = np.tile(DEFAULTS, (50, 1))
    features[:, INDEX["default_probability"]] = 0.0
    standing = np.zeros(50, STANDING)
    standing["grade"], standing["limit_version"], standing["limit"] = 1, 1, 1_000_000
    times = np.full(50, START)
    probability = np.zeros(50)
    nobody = np.zeros(50, np.bool_)
    assert not may_decide(ready, features, standing, times, probability, nobody).through.any()
    features[20, INDEX["utilisation"]] = np.nan
    probability[30] = 0.5
    standing["grade"][40] = 0
    screened = may_decide(ready, features, standing, times, probability, nobody)
    assert np.flatnonzero(screened.through).tolist() == [20, 30, 40]


def test_what_the_screen_tells_of_a_condition_is_what_the_condition_says() -> None:
    policy = load_default()
    _, advanced, _, _ = _batch(5, sound=True)
    rows = len(advanced.row)
    nothing, everybody = np.zeros(rows), np.ones(rows, np.bool_)
    standing = np.zeros(rows, STANDING)
    screened = may_decide(policy.screen, advanced.features, standing, advanced.time, nothing, everybody)
    columns = Columns(advanced.features, INDEX)
    found, own = screened.found(), triggers.evaluate(policy.watches, columns)
    assert found is not None
    assert found.severity.tolist() == own.severity.tolist()
    assert found.severity.any()
    assert found.over.tolist() == own.over.tolist()
    known, limits = screened.known(), policy.document.limits
    assert known[limits.restore.when.key].true.tolist() == limits.restore.when(columns).true.tolist()  # type: ignore[union-attr]
    assert known[limits.ability_to_pay.key].values.tobytes() == limits.ability_to_pay(columns).values.tobytes()  # type: ignore[union-attr]


def test_nothing_is_told_where_something_could_not_be_evaluated() -> None:
    ready, features = load_default().screen, np.tile(DEFAULTS, (3, 1))
    features[1, INDEX["utilisation"]] = np.nan
    standing, times = np.zeros(3, STANDING), np.full(3, START)
    screened = may_decide(ready, features, standing, times, np.zeros(3), np.ones(3, np.bool_))
    assert not screened.known()
    assert screened.found() is None


def test_rows_that_do_not_belong_together_are_an_error() -> None:
    ready, features, standing = load_default().screen, np.tile(DEFAULTS, (2, 1)), np.zeros(2, STANDING)
    with pytest.raises(ValueError, match="of the same rows"):
        may_decide(ready, features, standing, np.zeros(1, np.int64), np.zeros(2), np.zeros(2, np.bool_))
