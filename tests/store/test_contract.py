"""What every store does, whatever it is made of."""

import asyncio
import random
from dataclasses import dataclass, replace

import pytest

from messages.message import Message
from store.contract import Commit, Header, LimitView, PartitionStore, StaleOwner, Store, TopicPosition

FAR = 2**32
HEADER = Header(watermark=1_700_000_000, clock=1_700_000_003_217, policy="p@1", market="m@2", model="m@3", commits=1)
MESSAGES = (
    Message("warnings", b"u1", b'{"id": 1}', (("ce_id", b"1"), ("ce_type", b"\x00\xff"))),
    Message("warnings", None, b"", ()),
    Message("dead-letters", bytes(range(256)), bytes(range(256)) * 40, (("", b""),)),
)


def commit(offset: int = 1, **others: object) -> Commit:
    fields: dict[str, object] = {
        "header": Header(commits=offset),
        "position": {"purchases": TopicPosition(offset, "epoch-a")},
        **others,
    }
    return Commit(**fields)  # type: ignore[arg-type]


@dataclass
class Contents:
    """All that a partition holds, as a new owner finds it."""

    header: Header
    position: dict[str, TopicPosition]
    outbox: list[Message]
    records: dict[str, bytes | None]
    timers: list[str]


async def contents(store: Store, number: int = 3) -> Contents:
    view = store.partition(number)
    opened = await view.open()
    users = sorted([user async for user in view.users()])
    found = Contents(
        opened.header,
        dict(opened.position),
        list(opened.outbox),
        dict(zip(users, await view.load(users), strict=True)),
        await view.due(FAR, 1_000_000),
    )
    await view.close()
    return found


async def opened(store: Store, number: int = 3) -> PartitionStore:
    view = store.partition(number)
    await view.open()
    return view


async def test_a_new_partition_is_empty(store: Store) -> None:
    assert await contents(store) == Contents(Header(), {}, [], {}, [])


async def test_a_commit_is_found_whole_by_the_next_owner(store: Store) -> None:
    position = {"purchases": TopicPosition(17, "an-epoch"), "bills": TopicPosition(0), "profiles": TopicPosition(2**62)}
    view = await opened(store)
    await view.commit(
        Commit(HEADER, position, {"u1": b"one", "u2": b""}, timers={"u2": 5, "u1": 9, "u3": 0}, outbox=MESSAGES)
    )
    expected = Contents(HEADER, position, list(MESSAGES), {"u1": b"one", "u2": b""}, ["u2", "u1"])
    assert await contents(store) == expected


async def test_positions_of_topics_that_a_commit_does_not_name_stay(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(position={"purchases": TopicPosition(5), "bills": TopicPosition(7)}))
    await view.commit(commit(position={"bills": TopicPosition(8)}))
    await view.commit(commit(position={}))
    assert (await contents(store)).position == {"purchases": TopicPosition(5), "bills": TopicPosition(8)}


async def test_of_two_owners_the_second_to_commit_is_refused_and_changes_nothing(store: Store) -> None:
    first, second = await opened(store), await opened(store)
    await first.commit(commit(1, records={"u1": b"first"}, timers={"u1": 10}, outbox=MESSAGES))
    before = await contents(store)
    with pytest.raises(StaleOwner):
        await second.commit(
            commit(2, records={"u1": b"second", "u2": b"second"}, retired=["u1"], timers={"u1": 0, "u2": 3}, outbox=())
        )
    assert await contents(store) == before


async def test_a_refused_owner_stays_refused_until_it_opens_again(store: Store) -> None:
    first, second = await opened(store), await opened(store)
    await first.commit(commit(1))
    for _ in range(2):
        with pytest.raises(StaleOwner):
            await second.commit(commit(2))
    await first.commit(commit(2))
    assert (await second.open()).position == {"purchases": TopicPosition(2, "epoch-a")}
    await second.commit(commit(3, records={"u1": b"second"}))
    assert (await contents(store)).records == {"u1": b"second"}
    with pytest.raises(StaleOwner):
        await first.commit(commit(4))


async def test_a_commit_that_moves_no_offset_still_makes_other_owners_stale(store: Store) -> None:
    first, second = await opened(store), await opened(store)
    await first.commit(commit(1))
    await second.open()
    await first.commit(commit(1, records={"u1": b"a timer fired"}))
    with pytest.raises(StaleOwner):
        await second.commit(commit(1, records={"u1": b"another"}))


async def test_offsets_reached_again_by_somebody_else_are_not_taken_for_ones_own(store: Store) -> None:
    zombie, owner = await opened(store), await opened(store)
    await zombie.commit(commit(5))
    await owner.open()
    await owner.commit(commit(2))
    await owner.commit(commit(5))
    with pytest.raises(StaleOwner):
        await zombie.commit(commit(6))


async def test_a_view_that_was_never_opened_or_was_closed_cannot_commit(store: Store) -> None:
    view = store.partition(3)
    with pytest.raises(StaleOwner):
        await view.commit(commit())
    await view.open()
    await view.close()
    with pytest.raises(StaleOwner):
        await view.commit(commit())
    assert await contents(store) == Contents(Header(), {}, [], {}, [])


async def test_of_many_owners_that_commit_at_once_exactly_one_succeeds(store: Store) -> None:
    views = [await opened(store) for _ in range(8)]
    for generation in range(1, 6):
        results = await asyncio.gather(
            *(
                view.commit(commit(generation, records={"winner": b"%d" % number}, timers={f"u{number}": 1 + number}))
                for number, view in enumerate(views)
            ),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert all(isinstance(result, StaleOwner) for result in results if result is not None)
        found = await contents(store)
        assert found.records == {"winner": b"%d" % winner}
        assert f"u{winner}" in found.timers
        assert len(found.timers) <= generation
        for view in views:
            await view.open()


async def test_an_owner_that_opens_while_another_commits_sees_one_commit_whole(store: Store) -> None:
    writer = await opened(store)

    async def write() -> None:
        for number in range(1, 60):
            await writer.commit(commit(number, outbox=[Message("warnings", None, b"%d" % number)] * number))

    async def read() -> None:
        view = store.partition(3)
        found = 0
        while found < 59:
            at = await view.open()
            found = at.header.commits
            assert [position.next_offset for position in at.position.values()] == ([found] if found else [])
            assert [message.value for message in at.outbox] == [b"%d" % found] * found
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for task in (write(), read(), read()):
            tasks.create_task(task)


async def test_due_timers_come_earliest_first_and_then_by_name(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(timers={"late": 300, "b": 20, "a": 20, "C": 20, "first": 10}))
    assert await view.due(299, 10) == ["first", "C", "a", "b"]
    assert await view.due(300, 10) == ["first", "C", "a", "b", "late"]
    assert await view.due(299, 2) == ["first", "C"]
    assert await view.due(9, 10) == []
    assert await view.due(300, 0) == []
    assert await view.due(299, 2) == ["first", "C"]


async def test_a_moved_timer_is_due_at_its_new_time_only_and_a_removed_one_never(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(1, timers={"moved": 10, "back": 10, "removed": 10, "stays": 10}))
    await view.commit(commit(2, timers={"moved": 30, "back": 30, "removed": 0}))
    await view.commit(commit(3, timers={"back": 10, "unknown": 0}))
    assert await view.due(29, 10) == ["back", "stays"]
    assert await view.due(30, 10) == ["back", "stays", "moved"]


async def test_timers_moved_many_times_are_each_due_once(store: Store) -> None:
    view, chance = await opened(store), random.Random(3)
    timers: dict[str, int] = {}
    for offset in range(1, 31):
        moved = {f"u{chance.randrange(100)}": chance.randrange(50) for _ in range(80)}
        timers.update(moved)
        await view.commit(commit(offset, timers=moved))
    expected = sorted((when, user) for user, when in timers.items() if 0 < when <= 25)
    assert await view.due(25, 1_000) == [user for _, user in expected]


async def test_a_retired_user_is_gone_with_the_timer(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(1, records={"gone": b"1", "stays": b"2"}, timers={"gone": 5, "stays": 6}))
    await view.commit(commit(2, retired=["gone", "never seen"]))
    found = await contents(store)
    assert found.records == {"stays": b"2"}
    assert found.timers == ["stays"]


async def test_a_user_who_is_retired_in_the_commit_that_changes_the_record_is_gone(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(1, records={"gone": b"1"}, timers={"gone": 5}, retired=["gone"]))
    found = await contents(store)
    assert (found.records, found.timers) == ({}, [])


async def test_the_outbox_is_that_of_the_latest_commit(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(1, outbox=MESSAGES))
    await view.commit(commit(2, outbox=MESSAGES[1:2]))
    assert (await contents(store)).outbox == [MESSAGES[1]]
    await view.commit(commit(3))
    assert (await contents(store)).outbox == []


async def test_records_are_loaded_in_the_order_asked_for_with_none_for_missing_ones(store: Store) -> None:
    view = await opened(store)
    await view.commit(commit(records={"a": b"1", "b": b"2"}))
    assert await view.load(["x", "b", "a", "b", "y"]) == [None, b"2", b"1", b"2", None]
    assert await view.load([]) == []


async def test_five_thousand_records_move_in_one_commit(store: Store) -> None:
    chance = random.Random(7)
    records = {f"user-{number}": chance.randbytes(chance.randrange(3_000)) for number in range(5_000)}
    outbox = [Message("warnings", user.encode(), record, ()) for user, record in records.items()]
    view = await opened(store)
    await view.commit(commit(records=records, timers={user: 1 + len(user) for user in records}, outbox=outbox))
    found = await contents(store)
    assert found.records == records
    assert found.outbox == outbox
    assert len(found.timers) == 5_000
    await view.commit(commit(2, retired=list(records)))
    assert (await contents(store)).records == {}


async def test_records_may_hold_any_bytes(store: Store) -> None:
    records = {"crlf": b"\r\n$3\r\n*1\r\n", "zero": b"\x00", "all": bytes(range(256)), "empty": b""}
    view = await opened(store)
    await view.commit(commit(records=records))
    assert (await contents(store)).records == records


async def test_every_printable_sign_may_be_part_of_a_user_id(store: Store) -> None:
    printable = "".join(map(chr, range(0x21, 0x7F)))
    users = [*printable, printable, "{1}", "}{", "*", "?", "[a-z]", "\\", "u:r:u", "a" * 128]
    view = await opened(store)
    await view.commit(commit(records={user: user.encode() for user in users}, timers=dict.fromkeys(users, 1)))
    found = await contents(store)
    assert found.records == {user: user.encode() for user in users}
    assert found.timers == sorted(set(users))
    await view.commit(commit(2, retired=users))
    found = await contents(store)
    assert (found.records, found.timers) == ({}, [])


async def test_partitions_do_not_see_each_other(store: Store) -> None:
    numbers = (1, 11, 111)
    views = [await opened(store, number) for number in numbers]
    for number, view in zip(numbers, views, strict=True):
        await view.commit(commit(number, records={"u": b"%d" % number}, timers={f"u{number}": 1}, outbox=MESSAGES[:1]))
    for number in numbers:
        found = await contents(store, number)
        assert found.records == {"u": b"%d" % number}
        assert found.timers == [f"u{number}"]
        assert found.header.commits == number


async def test_every_user_is_listed_once(store: Store) -> None:
    view = await opened(store)
    users = {f"user-{number}" for number in range(3_000)}
    await view.commit(commit(records=dict.fromkeys(users, b"x"), timers={"without a record": 4}))
    listed = [user async for user in view.users()]
    assert len(listed) == len(set(listed))
    assert set(listed) == users


def limit(user: str, version: int) -> LimitView:
    return LimitView(user, 100_000 + version, version % 2 == 0, "ABC"[version % 3], version / 7, version)


async def test_the_newer_limit_wins_whatever_comes_last(store: Store) -> None:
    await store.project_limits([limit("u", 3), limit("v", 1)])
    await store.project_limits([limit("u", 2), limit("v", 2)])
    assert await store.limit_of("u") == limit("u", 3)
    assert await store.limit_of("v") == limit("v", 2)
    await store.project_limits([replace(limit("u", 3), limit=1)])
    assert await store.limit_of("u") == limit("u", 3)
    assert await store.limit_of("nobody") is None


async def test_the_newest_of_several_limits_of_one_user_in_a_batch_wins(store: Store) -> None:
    await store.project_limits([limit("u", version) for version in (1, 10, 9, 2)])
    assert await store.limit_of("u") == limit("u", 10)
    await store.project_limits([])


async def test_the_newest_limit_wins_among_many_writers_at_once(store: Store) -> None:
    users = [f"user-{number}" for number in range(40)]
    batches = [[limit(user, version) for user in users] for version in range(1, 31)]
    random.Random(1).shuffle(batches)
    await asyncio.gather(*map(store.project_limits, batches))
    assert [await store.limit_of(user) for user in users] == [limit(user, 30) for user in users]


async def test_a_running_store_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_a_forgotten_limit_is_removed_and_the_user_may_come_back(store: Store) -> None:
    await store.project_limits([limit("u", 7), limit("v", 2)])
    await store.project_limits([replace(limit("u", 6), forgotten=True), replace(limit("w", 1), forgotten=True)])
    assert await store.limit_of("u") == limit("u", 7)
    await store.project_limits([replace(limit("u", 8), forgotten=True)])
    assert await store.limit_of("u") is None
    assert await store.limit_of("w") is None
    await store.project_limits([limit("u", 1)])
    assert await store.limit_of("u") == limit("u", 1)


async def test_the_first_timer_is_the_earliest_that_is_set(store: Store) -> None:
    view = await opened(store)
    assert await view.first_timer() == 0
    await view.commit(commit(1, timers={"b": 30, "a": 20}))
    assert await view.first_timer() == 20
    await view.commit(commit(2, timers={"a": 0}))
    assert await view.first_timer() == 30
