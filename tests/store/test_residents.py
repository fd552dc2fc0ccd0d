import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.record import RECORD, SCHEMA_VERSION
from messages.hashing import stable_hash
from store.contract import Commit, CorruptState, Header, StoreUnavailable, TopicPosition
from store.memory import MemoryPartition, MemoryStore
from store.residents import Residents


class Counted(MemoryPartition):
    """A memory partition that notes what is loaded and can be away."""

    def __init__(self) -> None:
        partition = MemoryStore().partition(0)
        super().__init__(partition._kept)
        self.loads: list[list[str]] = []
        self.away = False

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        if self.away:
            raise StoreUnavailable("away")
        self.loads.append(list(users))
        return await super().load(users)


async def commit(store: MemoryPartition, records: Mapping[str, bytes]) -> None:
    await store.open()
    await store.commit(Commit(Header(), {"purchases": TopicPosition(1)}, records))


def resident_bytes() -> int:
    """What this process has in memory, which Linux tells in pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def touch(residents: Residents, store: MemoryPartition, users: Sequence[str], income: int) -> None:
    """One batch: set the income of `users` and commit."""
    rows = np.unique(await residents.rows(users))
    residents.records["income"][rows] = income
    await commit(store, residents.packed(rows))


async def incomes(residents: Residents, users: Sequence[str]) -> list[int]:
    rows = await residents.rows(users)
    found: list[int] = residents.records["income"][rows].tolist()
    residents.packed(rows[:0])
    return found


async def test_a_new_user_gets_an_empty_record_that_says_who_and_which_schema() -> None:
    residents = Residents(Counted(), 10)
    row = (await residents.rows(["u1"]))[0]
    expected = np.zeros(1, RECORD)
    expected["user"], expected["schema"] = stable_hash("u1"), SCHEMA_VERSION
    assert residents.records[row : row + 1].tobytes() == expected.tobytes()


async def test_rows_come_in_the_order_of_users_and_repeats_share_one() -> None:
    residents = Residents(Counted(), 10)
    rows = await residents.rows(["a", "b", "a", "c", "b"])
    assert rows.dtype == np.uint32
    assert rows[0] == rows[2] != rows[1] == rows[4]
    assert residents.users_of(rows) == ["a", "b", "a", "c", "b"]
    assert residents.records["user"][rows].tolist() == list(map(stable_hash, ["a", "b", "a", "c", "b"]))
    assert (await residents.rows([])).tolist() == []


async def test_only_unknown_users_are_loaded_and_all_of_them_at_once() -> None:
    store = Counted()
    residents = Residents(store, 10)
    await residents.rows(["a", "b", "a"])
    await residents.rows(["b", "a"])
    await residents.rows(["c", "b", "d", "c"])
    assert store.loads == [["a", "b"], ["c", "d"]]


async def test_a_committed_record_is_found_by_another_owner() -> None:
    store = Counted()
    await touch(Residents(store, 10), store, ["a", "b"], 7)
    other = Residents(store, 10)
    assert await incomes(other, ["b", "nobody", "a"]) == [7, 0, 7]
    assert (await other.rows(["a"])).tolist() != (await other.rows(["b"])).tolist()


async def test_the_least_recently_used_users_are_evicted_and_their_committed_records_loaded_again() -> None:
    store = Counted()
    residents = Residents(store, 4)
    for income, user in enumerate("abcd", 1):
        await touch(residents, store, [user], income)
    await incomes(residents, ["a"])
    await touch(residents, store, ["e"], 5)
    store.loads.clear()
    assert await incomes(residents, ["a", "c", "d", "e"]) == [1, 3, 4, 5]
    assert store.loads == []
    assert await incomes(residents, ["b"]) == [2]
    assert store.loads == [["b"]]
    assert len(residents) <= 4


async def test_users_of_the_running_batch_are_never_evicted() -> None:
    store = Counted()
    residents = Residents(store, 4)
    await touch(residents, store, ["old 1", "old 2"], 1)
    first = await residents.rows(["a", "b", "c"])
    residents.records["income"][first] = 9
    second = await residents.rows(["d", "e", "f"])
    assert residents.users_of(first) == ["a", "b", "c"]
    assert residents.records["income"][first].tolist() == [9, 9, 9]
    assert not set(first.tolist()) & set(second.tolist())
    residents.packed(first)
    await residents.rows(["g"])
    assert len(residents) <= 4


async def test_a_batch_larger_than_the_capacity_is_held_whole() -> None:
    store = Counted()
    residents = Residents(store, 10)
    users = [f"u{number}" for number in range(5_000)]
    rows = await residents.rows(users)
    residents.records["income"][rows] = np.arange(5_000)
    assert len(set(rows.tolist())) == 5_000
    await commit(store, residents.packed(rows))
    await incomes(residents, ["another"])
    assert len(residents) <= 10
    assert await incomes(residents, users[::7]) == list(range(0, 5_000, 7))


async def test_rows_that_nobody_used_yet_take_no_memory() -> None:
    before = resident_bytes()
    residents = Residents(Counted(), 200_000)
    assert residents.records.nbytes > 600_000_000
    await residents.rows(["a", "b"])
    assert resident_bytes() - before < 50_000_000


async def test_a_forgotten_user_starts_from_what_is_stored() -> None:
    store = Counted()
    residents = Residents(store, 10)
    await touch(residents, store, ["retired", "stays"], 3)
    rows = await residents.rows(["retired"])
    residents.packed(rows)
    await store.commit(Commit(Header(), {}, retired=["retired"]))
    residents.forget(rows)
    assert len(residents) == 1
    assert await incomes(residents, ["another", "retired", "stays"]) == [0, 0, 3]


async def test_clearing_forgets_what_was_not_committed() -> None:
    store = Counted()
    residents = Residents(store, 10)
    await touch(residents, store, ["a"], 3)
    residents.records["income"][await residents.rows(["a"])] = 4
    residents.clear()
    assert len(residents) == 0
    assert await incomes(residents, ["a"]) == [3]


async def test_a_failed_load_changes_nothing_and_can_be_repeated() -> None:
    store = Counted()
    residents = Residents(store, 2)
    await touch(residents, store, ["a", "b"], 3)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await residents.rows(["a", "c", "d"])
    assert len(residents) == 2
    assert await incomes(residents, ["a", "b"]) == [3, 3]
    store.away = False
    rows = await residents.rows(["c", "a", "d", "c"])
    assert residents.users_of(rows) == ["c", "a", "d", "c"]
    assert residents.records["income"][rows].tolist() == [0, 3, 0, 0]


async def test_a_damaged_record_is_told_by_its_user() -> None:
    store = Counted()
    residents = Residents(store, 10)
    await touch(residents, store, ["fine"], 3)
    await store.commit(Commit(Header(), {}, {"broken": b"nonsense"}))
    residents.clear()
    with pytest.raises(CorruptState) as caught:
        await residents.rows(["new", "fine", "broken"])
    assert caught.value.user == "broken"
    assert "broken" not in str(caught.value)
    assert len(residents) == 0


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        Residents(Counted(), 0)


batches = st.lists(st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=8), max_size=25)


@settings(deadline=None, derandomize=True)
@given(capacity=st.integers(1, 14), batches=batches)
async def test_evictions_never_lose_or_mix_up_a_committed_record(capacity: int, batches: list[list[str]]) -> None:
    store = Counted()
    residents = Residents(store, capacity)
    expected: dict[str, int] = {}
    for number, users in enumerate(batches, 1):
        rows = await residents.rows(users)
        assert residents.users_of(rows) == users
        assert residents.records["income"][rows].tolist() == [expected.get(user, 0) for user in users]
        touched = np.unique(rows)
        residents.records["income"][touched] = number
        expected.update(dict.fromkeys(users, number))
        await commit(store, residents.packed(touched))
        assert len(residents) <= max(capacity, len(touched))
        if number % 5 == 0:
            residents.forget(touched[:1])


async def test_only_timers_that_the_store_has_otherwise_are_told_and_each_once() -> None:
    store = Counted()
    residents = Residents(store, 10)
    rows = await residents.rows(["a", "b", "c"])
    residents.records["next_timer"][rows] = [5, 0, 7]
    assert residents.moved_timers(rows) == {"a": 5, "c": 7}
    await commit(store, residents.packed(rows))
    assert residents.moved_timers(rows) == {}
    residents.records["next_timer"][rows] = [5, 9, 0]
    assert residents.moved_timers(rows[::-1].copy()) == {"c": 0, "b": 9}
    await commit(store, residents.packed(rows))
    residents.clear()
    rows = await residents.rows(["b", "new", "a"])
    assert residents.moved_timers(rows) == {}
    residents.records["next_timer"][rows] = 9
    assert residents.moved_timers(rows) == {"new": 9, "a": 9}
