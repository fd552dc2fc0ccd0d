import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURES, INDEX
from features.record import RECORD, STANDING_FIELDS
from policy.standing import STANDING, gather, pick, put, scatter


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
