"""What the Redis store does when its connections break, at any point of a step."""

from dataclasses import replace

import pytest

from store.contract import StaleOwner, StoreUnavailable, TopicPosition
from store.link import Link, Server
from store.redis import RedisAddress, RedisStore
from tests.store.conftest import SINGLE_SERVERS
from tests.store.proxy import Trouble, proxy
from tests.store.redis_servers import operator
from tests.store.samples import commit

on_single_servers = pytest.mark.parametrize("address", SINGLE_SERVERS, indirect=True)


def kill_clients(address: RedisAddress) -> None:
    with operator(address) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@on_single_servers
async def test_a_lost_connection_is_told_once_and_made_again_by_the_next_call(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view = redis_store.partition(3)
    await view.open()
    await view.commit(commit(1))
    kill_clients(address)
    with pytest.raises(StoreUnavailable):
        await view.load(["u"])
    assert await view.load(["u"]) == [b"1"]
    await view.commit(commit(2))
    kill_clients(address)
    with pytest.raises(StoreUnavailable):
        await view.commit(commit(3))
    assert (await view.open()).header.commits == 2
    await view.commit(commit(3))
    kill_clients(address)
    with pytest.raises(StoreUnavailable):
        await view.open()
    assert (await view.open()).header.commits == 3


@on_single_servers
async def test_a_lost_connection_does_not_hide_that_somebody_else_committed(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view, other = redis_store.partition(3), redis_store.partition(3)
    await view.open()
    kill_clients(address)
    await other.open()
    await other.commit(commit(1))
    with pytest.raises(StoreUnavailable):
        await view.commit(commit(2))
    with pytest.raises(StaleOwner):
        await view.commit(commit(2))
    assert await other.load(["u"]) == [b"1"]


@on_single_servers
async def test_a_commit_whose_answer_was_lost_is_found_by_opening_again(address: RedisAddress) -> None:
    async with proxy(address.port, Trouble(b"EXEC\r\n", answered=True)) as port:
        store = RedisStore(replace(address, port=port))
        view = store.partition(3)
        await view.open()
        with pytest.raises(StoreUnavailable):
            await view.commit(commit(1))
        with pytest.raises(StaleOwner):
            await view.commit(commit(1))
        assert (await view.open()).header.commits == 1
        await view.commit(commit(2))
        assert await view.load(["u", "u1", "u2"]) == [b"2", b"x", b"x"]
        await store.close()


@on_single_servers
@pytest.mark.parametrize("cut_at", [b"*1\r\n$5\r\nMULTI", b"MSET", b"ZADD", b"HSET", b"*1\r\n$4\r\nEXEC"])
async def test_a_commit_that_did_not_arrive_whole_changed_nothing_and_can_be_repeated(
    address: RedisAddress, cut_at: bytes
) -> None:
    async with proxy(address.port, Trouble(cut_at)) as port:
        store = RedisStore(replace(address, port=port))
        view = store.partition(3)
        await view.open()
        with pytest.raises(StoreUnavailable):
            await view.commit(commit(1))
        assert await view.load(["u", "u1"]) == [None, None]
        assert await view.due(9, 9) == []
        assert (await view.open()).header.commits == 0
        await view.commit(commit(1))
        assert await view.load(["u", "u1"]) == [b"1", b"x"]
        await store.close()


@on_single_servers
async def test_a_commit_of_somebody_else_in_the_middle_of_opening_is_not_seen_in_part(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    other = redis_store.partition(3)
    await other.open()
    await other.commit(commit(1))
    trouble = Trouble(b"LRANGE", meanwhile=lambda: other.commit(commit(2)), continues=True)
    async with proxy(address.port, trouble) as port:
        store = RedisStore(replace(address, port=port))
        view = store.partition(3)
        opened = await view.open()
        assert (opened.header.commits, opened.position) == (2, {"purchases": TopicPosition(2)})
        await view.commit(commit(3))
        await store.close()


@on_single_servers
async def test_a_step_that_rests_on_a_watch_is_not_taken_on_another_connection(address: RedisAddress) -> None:
    link = Link(address, Server(address.host, address.port))
    await link.ask((b"WATCH", b"position"))
    await link.close()
    with pytest.raises(StoreUnavailable, match="between two steps"):
        await link.ask((b"MULTI",), (b"EXEC",), continued=True)
    await link.close()
