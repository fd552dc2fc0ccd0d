import numpy as np
import pytest
from numpy.typing import NDArray

from features.catalogue import FEATURES, INDEX, WIDTH
from features.record import DAY, RECORD, STANDING_FIELDS
from policy.standing import FROZEN, OPEN, STANDING, complete, gather, pick, put, scatter


def _random_records(count: int) -> NDArray[np.void]:
    return np.random.default_rng(1).integers(0, 256, count * RECORD.itemsize, np.uint8).view(RECORD)


def test_the_columns_that_follow_from_the_standing_lie_side_by_side() -> None:
    columns = [INDEX[feature.name] for feature in FEATURES if feature.owner == "standing"]
    assert columns == list(range(columns[0], columns[0] + len(columns)))


def test_a_standing_is_read_field_by_field_as_it_is_in_the_record() -> None:
    records, rows = _random_records(7), np.array([5, 0, 5, 2])
    standing = gather(records, rows)
    for name in STANDING_FIELDS:
        assert standing[name].tobytes() == records[name][rows].tobytes(), name


def test_a_standing_is_written_into_its_record_and_nowhere_else() -> None:
    records, rows = _random_records(7), np.array([5, 0, 2])
    before, standing = records.copy(), gather(_random_records(9), np.array([8, 7, 6]))
    scatter(records, rows, standing)
    assert gather(records, rows).tobytes() == standing.tobytes()
    scatter(records, rows, gather(before, rows))
    assert records.tobytes() == before.tobytes()


def test_entries_are_picked_and_put_whole() -> None:
    standing = gather(_random_records(6), np.arange(6))
    picked = pick(standing, np.array([4, 1]))
    assert picked.dtype == STANDING
    assert [entry.tobytes() for entry in picked] == [standing[4].tobytes(), standing[1].tobytes()]
    put(standing, np.array([0, 2]), picked)
    assert [standing[i].tobytes() for i in (0, 2)] == [entry.tobytes() for entry in picked]


def _completed(user: np.void, owed: float, income: float, time: int) -> dict[str, float]:
    """The same as plain Python has it."""
    limit, used_of = float(user["limit"]), float(user["limit_before_freeze" if user["frozen"] == FROZEN else "limit"])
    used = owed / used_of if used_of > 0 else float(owed > 0)
    since = (time - int(user["limit_changed"])) / DAY
    return {
        "limit": limit,
        "limit_known": float(user["limit_version"] > 0),
        "starting_limit": float(user["starting_limit"]),
        "utilisation": used,
        "available_limit": max(limit - owed, 0.0) if user["frozen"] == OPEN else 0.0,
        "over_limit_ratio": max(used - 1, 0.0) if user["limit_version"] > 0 and used_of > 0 else 0.0,
        "limit_headroom_for_event": limit - owed,
        "grade": float(user["grade"]),
        "frozen": float(user["frozen"] != OPEN),
        "days_since_limit_change": min(max(since, 0.0), 3_650.0) if user["limit_changed"] else 3_650.0,
        "limit_to_income": min(limit / income, 1_000.0) if income > 0 else 0.0,
    }


def test_the_columns_that_follow_from_the_standing_are_those_of_plain_arithmetic() -> None:
    rng, count = np.random.default_rng(3), 300
    standing, features = np.zeros(count, STANDING), np.zeros((count, WIDTH))
    for name in ("limit", "starting_limit", "limit_before_freeze"):
        standing[name] = rng.choice([0, 1, 500_000, 3_000_000, -5], count)
    standing["limit_version"], standing["frozen"] = rng.integers(0, 2, count), rng.integers(0, 3, count)
    standing["grade"], standing["limit_changed"] = rng.integers(0, 4, count), rng.choice([0, 10**9, 2 * 10**9], count)
    features[:, INDEX["owed"]] = rng.choice([0.0, 1.0, 600_000.0, 4e6], count)
    features[:, INDEX["income_estimate"]] = rng.choice([0.0, 0.5, 700_000.0], count)
    times = rng.integers(10**9 - 5 * DAY, 10**9 + 90 * DAY, count)
    complete(features, standing, times)
    for i in range(count):
        owed, income = features[i, INDEX["owed"]], features[i, INDEX["income_estimate"]]
        expected = _completed(standing[i], owed, income, int(times[i]))
        assert {name: features[i, INDEX[name]] for name in expected} == expected
    assert {feature.name for feature in FEATURES if feature.owner == "standing"} == expected.keys()


def test_a_debt_that_is_no_number_makes_no_use_of_credit() -> None:
    features, standing = np.zeros((1, WIDTH)), np.zeros(1, STANDING)
    standing["limit"], standing["limit_version"] = 1_000_000, 1
    features[0, INDEX["owed"]] = np.nan
    complete(features, standing, np.array([10**9]))
    for name in ("utilisation", "available_limit", "over_limit_ratio", "limit_headroom_for_event"):
        assert np.isnan(features[0, INDEX[name]]), name


def test_rows_of_different_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="of the same rows"):
        complete(np.zeros((2, WIDTH)), np.zeros(1, STANDING), np.zeros(2, np.int64))
