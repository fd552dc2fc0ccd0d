import pytest

from agents.monitor import fetch_size
from store.memory import MemoryStore
from tests.agents.bench import Bench
from tests.agents.standins import deps


@pytest.mark.parametrize(("partitions", "batch_size", "records"), [(1, 8_000, 24_000), (8, 1_000, 3_000)])
def test_partitions_of_one_worker_share_its_room(partitions: int, batch_size: int, records: int) -> None:
    share = deps(MemoryStore(), {}, publisher=None).share(partitions)
    assert (share.batch_size, share.resident_records) == (batch_size, records)


def test_a_share_stays_worth_a_commit_and_never_exceeds_what_was_asked_for() -> None:
    assert deps(MemoryStore(), {}, publisher=None).share(4_096).batch_size == 250
    assert deps(MemoryStore(), {}, publisher=None, batch_size=7).share(4).batch_size == 7
    assert deps(MemoryStore(), {}, publisher=None, resident_records=3).share(8).resident_records == 1


async def test_a_partition_asks_for_no_more_records_than_its_share() -> None:
    asked: list[int] = []

    def residents(_view: object, most: int) -> None:
        asked.append(most)

    owner = Bench(MemoryStore()).owner(residents=residents, resident_records=77)
    owner.task.cancel()
    assert asked == [77]


@pytest.mark.parametrize(
    ("partitions", "size"), [(0, 1 << 20), (1, 1 << 20), (4, 1 << 20), (8, 1 << 19), (64, 1 << 16), (1_000, 1 << 16)]
)
def test_what_is_fetched_ahead_is_shared_too(partitions: int, size: int) -> None:
    assert fetch_size(partitions) == size
