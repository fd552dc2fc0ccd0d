"""Partitions that commit at the same time do so in one transaction, and none of them notices."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from store.contract import Commit, CorruptState, Header, StaleOwner, StoreUnavailable, TopicPosition
from store.redis import RedisAddress, RedisPartition, RedisStore
from store.together import MOST_RECORDS
from tests.store.conftest import SINGLE_SERVERS
from tests.store.proxy import Trouble, proxy
from tests.store.redis_servers import operator
from tests.store.samples import commit

on_single_servers = pytest.mark.parametrize("address", SINGLE_SERVERS, indirect=True)
NUMBERS = range(4)


async def opened(store: RedisStore, numbers: Sequence[int] = NUMBERS) -> list[RedisPartition]:
    views = [store.partition(number) for number in numbers]
    for view in views:
        await view.open()
    return views


async def at_once(*calls: Awaitable[None]) -> list[type[BaseException] | None]:
    """What each call raises, all begun in one turn of the loop."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [None if result is None else type(result) for result in results]


async def found(store: RedisStore, number: int) -> tuple[int, list[bytes | None]]:
    """How many commits a new owner finds, and records of two users that `samples.commit` writes."""
    view = store.partition(number)
    at = await view.open()
    records = await view.load(["u", f"u{at.header.commits}"])
    await view.close()
    return at.header.commits, records


def after(number: int) -> tuple[int, list[bytes | None]]:
    return number, [b"%d" % number, b"x"] if number else [None, None]


def transactions(address: RedisAddress) -> int:
    """How many the server has made."""
    with operator(address) as client:
        return int(client.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"])


def large(number: int) -> Commit:
    """One that is not to keep others waiting."""
    records = {"u": b"%d" % number, f"u{number}": b"x", **{f"many-{i}": b"" for i in range(MOST_RECORDS)}}
    return replace(commit(number), records=records)


def spoil(address: RedisAddress, number: int, name: str) -> None:
    """Put a value of another type in the place of a partition's key."""
    with operator(address) as client:
        client.set(f"{address.prefix}:{{{number}}}:{name}", b"")


@on_single_servers
async def test_commits_of_the_same_turn_are_one_transaction_and_each_is_found_whole(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    for number in range(1, 4):
        before = transactions(address)
        assert await at_once(*(view.commit(commit(number)) for view in views)) == [None] * 4
        assert transactions(address) == before + 1
        for partition in NUMBERS:
            assert await found(redis_store, partition) == after(number)


@on_single_servers
async def test_commits_that_are_asked_for_during_a_transaction_are_the_next_one(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    await at_once(*(view.commit(commit(1)) for view in views))
    before = transactions(address)
    first = asyncio.create_task(views[0].commit(commit(2)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert await at_once(first, *(view.commit(commit(2)) for view in views[1:])) == [None] * 4
    assert transactions(address) == before + 2


@on_single_servers
async def test_groups_of_changing_partitions_commit_without_a_step_in_vain(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    await at_once(*(view.commit(commit(1)) for view in views))
    before, groups = transactions(address), [(0, 1), (2, 3), (1,), (0, 2, 3), (0, 1, 2, 3), (3,)]
    for number, group in enumerate(groups, 2):
        assert await at_once(*(views[one].commit(commit(number)) for one in group)) == [None] * len(group)
    assert transactions(address) == before + len(groups)


@on_single_servers
async def test_of_a_group_only_the_partition_that_somebody_else_moved_is_refused(redis_store: RedisStore) -> None:
    views = await opened(redis_store)
    for number in range(1, 9, 2):
        other = redis_store.partition(2)
        await other.open()
        await other.commit(large(number))  # on a connection of its own, while the group's watches this position
        results = await at_once(*(view.commit(commit(number)) for view in views))
        assert results == [None, None, StaleOwner, None]
        assert await found(redis_store, 2) == after(number)
        await views[2].open()
        assert await at_once(*(view.commit(commit(number + 1)) for view in views)) == [None] * 4
        assert [await found(redis_store, partition) for partition in NUMBERS] == [after(number + 1)] * 4


@on_single_servers
async def test_a_position_that_another_process_moves_during_the_transaction_fails_its_owner_alone(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    (other,) = await opened(redis_store, [2])
    trouble = Trouble(b"*1\r\n$4\r\nEXEC", meanwhile=lambda: other.commit(commit(7)), continues=True)
    async with proxy(address.port, trouble) as port:
        store = RedisStore(replace(address, port=port))
        views = await opened(store)
        results = await at_once(*(view.commit(commit(1)) for view in views))
        assert results == [None, None, StaleOwner, None]
        await store.close()
    assert [await found(redis_store, number) for number in NUMBERS] == [after(1), after(1), after(7), after(1)]


@on_single_servers
@pytest.mark.parametrize("old_first", [True, False])
async def test_of_an_old_and_a_new_owner_in_the_same_turn_one_succeeds(
    redis_store: RedisStore, *, old_first: bool
) -> None:
    olds, news, others = await opened(redis_store), await opened(redis_store), await opened(redis_store, [7, 8])
    for number in range(1, 5):
        owners = (olds, news) if old_first else (news, olds)
        calls = [view.commit(commit(number)) for views in owners for view in views]
        results = await at_once(*calls, *(other.commit(commit(number)) for other in others))
        for partition in NUMBERS:
            assert {results[partition], results[partition + 4]} == {None, StaleOwner}
        assert results[8:] == [None, None]
        assert [await found(redis_store, partition) for partition in (*NUMBERS, 7, 8)] == [after(number)] * 6
        for view in (*olds, *news):
            await view.open()


@on_single_servers
async def test_a_view_that_was_not_opened_is_refused_and_the_others_of_its_turn_are_not(
    redis_store: RedisStore,
) -> None:
    views = [*await opened(redis_store, [0, 1]), redis_store.partition(2)]
    assert await at_once(*(view.commit(commit(1)) for view in views)) == [None, None, StaleOwner]


@on_single_servers
async def test_a_view_that_is_closed_while_its_commit_waits_commits_nothing(redis_store: RedisStore) -> None:
    views = await opened(redis_store)
    results = await at_once(*(view.commit(commit(1)) for view in views), views[1].close())
    assert results == [None, StaleOwner, None, None, None]
    assert [await found(redis_store, number) for number in NUMBERS] == [after(1), after(0), after(1), after(1)]
    with pytest.raises(StaleOwner):
        await views[1].commit(commit(1))
    await views[1].open()
    assert await at_once(*(view.commit(commit(2)) for view in views)) == [None] * 4


@on_single_servers
async def test_a_view_that_is_closed_during_its_commit_cannot_commit_again(redis_store: RedisStore) -> None:
    views = await opened(redis_store)
    for turns in range(1, 8):
        committing = asyncio.gather(*(view.commit(commit(turns)) for view in views))
        for _ in range(turns):
            await asyncio.sleep(0)
        await views[1].close()
        await asyncio.gather(committing, return_exceptions=True)
        with pytest.raises(StaleOwner):
            await views[1].commit(commit(99))
        await views[1].open()


@on_single_servers
async def test_a_view_that_is_opened_during_its_commit_goes_on_from_what_is_stored(redis_store: RedisStore) -> None:
    views = await opened(redis_store)
    for number in range(1, 20, 2):
        committing = asyncio.gather(*(view.commit(commit(number)) for view in views))
        for _ in range(number // 2):
            await asyncio.sleep(0)
        assert (await views[1].open()).header.commits in (number - 1, number)
        await committing
        assert await at_once(*(view.commit(commit(number + 1)) for view in views)) == [None] * 4


@on_single_servers
async def test_a_commit_that_is_cancelled_happens_whole_or_not_at_all_and_the_others_do(
    redis_store: RedisStore,
) -> None:
    views = await opened(redis_store)
    before = 0
    for number in range(1, 17):
        tasks = [asyncio.create_task(view.commit(commit(number))) for view in views]
        for _ in range(number // 2):
            await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [results[0], *results[2:]] == [None] * 3
        # What is on its way is waited for: what is found now stays until this view commits.
        commits = (await views[1].open()).header.commits
        assert commits in (before, number)
        assert number > 1 or commits == 0  # it was cancelled before anything was sent
        before = commits
        assert await found(redis_store, 1) == after(commits)
        assert [await found(redis_store, other) for other in (0, 2, 3)] == [after(number)] * 3
    assert await at_once(*(view.commit(commit(17)) for view in views)) == [None] * 4


@on_single_servers
async def test_a_large_commit_goes_alone_and_turns_about_with_small_ones(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    for number in range(1, 13):
        before = transactions(address)
        made = [large(number) if number % 4 == at else commit(number) for at in NUMBERS]
        assert await at_once(*(view.commit(one) for view, one in zip(views, made, strict=True))) == [None] * 4
        assert transactions(address) == before + 2
        assert [await found(redis_store, partition) for partition in NUMBERS] == [after(number)] * 4


@on_single_servers
async def test_no_more_than_so_many_records_are_committed_together(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    half = {f"u-{i}": b"" for i in range(MOST_RECORDS // 2)}
    before = transactions(address)
    assert await at_once(*(view.commit(replace(commit(1), records=half)) for view in views)) == [None] * 4
    assert transactions(address) == before + 3
    for view in views:
        assert await view.load([f"u-{MOST_RECORDS // 2 - 1}"]) == [b""]


@on_single_servers
async def test_many_partitions_commit_together(address: RedisAddress, redis_store: RedisStore) -> None:
    views = await opened(redis_store, range(40))
    await at_once(*(view.commit(commit(1)) for view in views))
    before = transactions(address)
    for number in (2, 3):
        assert await at_once(*(view.commit(commit(number)) for view in views)) == [None] * 40
    assert transactions(address) == before + 2


@on_single_servers
async def test_a_group_whose_answer_was_lost_is_found_by_opening_again(address: RedisAddress) -> None:
    async with proxy(address.port, Trouble(b"EXEC\r\n", answered=True)) as port:
        store = RedisStore(replace(address, port=port))
        views = await opened(store)
        assert await at_once(*(view.commit(commit(1)) for view in views)) == [StoreUnavailable] * 4
        assert await at_once(*(view.commit(commit(1)) for view in views)) == [StaleOwner] * 4
        assert [(await view.open()).header.commits for view in views] == [1] * 4
        assert await at_once(*(view.commit(commit(2)) for view in views)) == [None] * 4
        assert [await found(store, number) for number in NUMBERS] == [after(2)] * 4
        await store.close()


@on_single_servers
@pytest.mark.parametrize("cut_at", [b"*1\r\n$5\r\nMULTI", b"{2}:r:u", b"ZADD", b"*1\r\n$4\r\nEXEC"])
async def test_a_group_that_did_not_arrive_whole_changed_nothing_and_can_be_repeated(
    address: RedisAddress, redis_store: RedisStore, cut_at: bytes
) -> None:
    views = await opened(redis_store)
    await at_once(*(view.commit(commit(1)) for view in views))
    async with proxy(address.port, Trouble(cut_at)) as port:
        store = RedisStore(replace(address, port=port))
        views = [store.partition(number) for number in NUMBERS]
        await asyncio.gather(*(view.open() for view in views))
        assert await at_once(*(view.commit(commit(2)) for view in views)) == [StoreUnavailable] * 4
        assert [await found(redis_store, number) for number in NUMBERS] == [after(1)] * 4
        assert await at_once(*(view.commit(commit(2)) for view in views)) == [None] * 4
        assert [await found(redis_store, number) for number in NUMBERS] == [after(2)] * 4
        await store.close()


@on_single_servers
async def test_a_connection_that_was_made_anew_watches_nothing(address: RedisAddress, redis_store: RedisStore) -> None:
    views, (other,) = await opened(redis_store), await opened(redis_store, [2])
    await at_once(*(view.commit(commit(1)) for view in views))
    await other.open()
    with operator(address) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(StoreUnavailable):
        await other.load(["u"])
    await other.commit(commit(2))
    assert await at_once(*(view.commit(commit(3)) for view in views)) == [StoreUnavailable] * 4
    assert await at_once(*(view.commit(commit(3)) for view in views)) == [None, None, StaleOwner, None]
    assert await found(redis_store, 2) == after(2)


@on_single_servers
async def test_every_view_learns_that_the_common_connection_was_lost_whenever_it_commits_next(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    await at_once(*(view.commit(commit(1)) for view in views))
    with operator(address) as client:
        # Views open before they commit, so the common connection is the newest.
        newest = max(int(one["id"]) for one in client.client_list() if one["cmd"] == "hgetall")
        client.client_kill_filter(_id=newest)
    assert await at_once(*(view.commit(commit(2)) for view in views[:2])) == [StoreUnavailable] * 2
    assert await at_once(*(view.commit(commit(2)) for view in views[:2])) == [None] * 2
    assert await at_once(*(view.commit(commit(2)) for view in views)) == [None] * 2 + [StoreUnavailable] * 2
    assert await at_once(*(view.commit(commit(3)) for view in views)) == [None] * 4


@on_single_servers
@pytest.mark.parametrize("name", ["timers", "position"])
async def test_a_damaged_partition_does_not_fail_the_others_of_its_turn(
    address: RedisAddress, redis_store: RedisStore, name: str
) -> None:
    views = await opened(redis_store)
    spoil(address, 2, name)
    assert await at_once(*(view.commit(commit(1)) for view in views)) == [None, None, CorruptState, None]
    assert [await found(redis_store, number) for number in (0, 1, 3)] == [after(1)] * 3
    fit = [views[0], views[1], views[3]]
    assert await at_once(*(view.commit(commit(2)) for view in fit)) == [None] * 3
    spoil(address, 1, name)
    assert await at_once(*(view.commit(commit(3)) for view in fit)) == [None, CorruptState, None]
    assert [await found(redis_store, number) for number in (0, 3)] == [after(3)] * 2


@on_single_servers
async def test_a_full_server_refuses_a_group_whole_and_takes_it_once_there_is_room(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    views = await opened(redis_store)
    await at_once(*(view.commit(commit(1)) for view in views))
    with operator(address) as client:
        client.config_set("maxmemory", 1)
        try:
            assert await at_once(*(view.commit(commit(2)) for view in views)) == [StoreUnavailable] * 4
            assert [await view.load(["u", "u2"]) for view in views] == [[b"1", None]] * 4
        finally:
            client.config_set("maxmemory", 0)
    assert await at_once(*(view.commit(commit(2)) for view in views)) == [None] * 4
    assert [await found(redis_store, number) for number in NUMBERS] == [after(2)] * 4


@on_single_servers
async def test_a_store_that_is_closed_leaves_nobody_waiting(redis_store: RedisStore) -> None:
    views = await opened(redis_store)
    committing = asyncio.gather(*(view.commit(commit(1)) for view in views), return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    await redis_store.close()
    assert {type(result) for result in await committing} <= {StoreUnavailable, type(None)}


@on_single_servers
async def test_topics_that_did_not_move_keep_their_position(redis_store: RedisStore) -> None:
    (view,) = await opened(redis_store, [0])
    position = {"purchases": TopicPosition(5, "e"), "bills": TopicPosition(7)}
    await view.commit(Commit(Header(commits=1), position))
    await view.commit(Commit(Header(commits=2), {**position, "bills": TopicPosition(8)}))
    assert (await redis_store.partition(0).open()).position == {**position, "bills": TopicPosition(8)}
