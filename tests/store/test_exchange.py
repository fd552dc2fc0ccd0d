"""How requests and replies travel on a connection, against a server that sends what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest
from redis.asyncio import Connection
from redis.exceptions import RedisError

from store.address import RedisAddress
from store.contract import CorruptState, StoreUnavailable
from store.exchange import Exchange
from store.link import Link, Server
from tests.store.conftest import SINGLE_SERVERS

on_single_servers = pytest.mark.parametrize("address", SINGLE_SERVERS, indirect=True)


@asynccontextmanager
async def server(*answers: Sequence[bytes], ends: bool = False) -> AsyncIterator[Link]:
    """A link to a server that gives one of `answers`, piece by piece, to each request; each connection begins anew.

    It `ends` a connection after its last answer.
    """
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while left and (request := await reader.read(1 << 16)):
            if b"SETINFO" in request:
                writer.write(b"+OK\r\n" * request.count(b"SETINFO"))
                continue
            for piece in left.pop(0):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        if not ends:
            await reader.read()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    link = Link(RedisAddress(port=port), Server("127.0.0.1", port))
    try:
        yield link
    finally:
        await link.close()
        listener.close()
        await asyncio.gather(*served)


def pieces(whole: bytes, size: int) -> list[bytes]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


async def lost(link: Link) -> None:
    """Return once the link knows that its connection has ended."""
    for _ in range(10_000):
        if link.lost:
            return
        await asyncio.sleep(0)
    raise AssertionError("the connection did not end")


PING: tuple[bytes, ...] = (b"PING",)


@pytest.mark.parametrize("size", [1, 2, 5, 1_000])
async def test_replies_are_found_however_their_bytes_are_cut(size: int) -> None:
    whole = b"+OK\r\n:7\r\n$-1\r\n*2\r\n$3\r\na\r\n\r\n*0\r\n$0\r\n\r\n"
    async with server(pieces(whole, size), pieces(b"+two\r\n", size)) as link:
        assert await link.ask(*[PING] * 5) == [b"OK", 7, None, [b"a\r\n", []], b""]
        assert await link.ask(PING) == [b"two"]


async def test_refusals_stand_among_the_replies_and_end_the_connection() -> None:
    async with server([b"+OK\r\n-OOM no room\r\n*1\r\n-ERR within\r\n"]) as link:
        fine, refused, done = await link.send([PING] * 3)
        assert (fine, type(refused).__name__) == (b"OK", "OutOfMemoryError")
        assert [str(one) for one in done] == ["within"]
        assert not link.connected


async def test_a_key_of_another_type_is_told_and_leaves_the_connection() -> None:
    async with server([b"+OK\r\n-WRONGTYPE a list\r\n"], [b"+two\r\n"]) as link:
        with pytest.raises(CorruptState, match="WRONGTYPE"):
            await link.ask(PING, PING)
        assert await link.ask(PING) == [b"two"]
        assert link.connections == 1


async def test_a_connection_that_ends_before_the_last_reply_is_lost() -> None:
    async with server([b"+OK\r\n$5\r\nhal"], ends=True) as link:
        with pytest.raises(StoreUnavailable, match="closed"):
            await link.ask(PING, PING)
        assert not link.connected


async def test_bytes_that_are_no_reply_end_the_connection() -> None:
    async with server([b"!what\r\n"]) as link:
        with pytest.raises(StoreUnavailable, match="Protocol error"):
            await link.ask(PING)
        assert not link.connected


async def test_bytes_that_nobody_asked_for_are_not_taken_for_the_next_reply() -> None:
    async with server([b"+one\r\n+stray\r\n"], [b"+never\r\n"]) as link:
        assert await link.ask(PING) == [b"one"]
        with pytest.raises(StoreUnavailable, match="nobody had asked for"):
            await link.ask(PING)
        assert await link.ask(PING) == [b"one"]
        assert link.connections == 2


async def test_a_loss_between_two_calls_is_told_by_the_next_one_unless_it_is_known_already() -> None:
    async with server([b"+one\r\n"], ends=True) as link:
        for _ in range(2):
            assert await link.ask(PING) == [b"one"]
            await lost(link)
            with pytest.raises(StoreUnavailable, match="closed"):
                await link.ask(PING)
        assert await link.ask(PING) == [b"one"]
        await lost(link)
        assert link.next_connection == 4
        await link.renew()
        assert await link.ask(PING) == [b"one"]
        assert link.connections == 4


async def test_a_link_that_is_closed_while_its_connection_is_made_leaves_none_open() -> None:
    async with server([b"+one\r\n"]) as link:
        for turns in range(1, 12):
            asking = asyncio.create_task(link.ask(PING))
            for _ in range(turns):
                await asyncio.sleep(0)
            await link.close()
            results: list[Any] = await asyncio.gather(asking, return_exceptions=True)
            assert results == [[b"one"]] or isinstance(results[0], StoreUnavailable)
            assert not link.connected


class _Clock:
    """Stands for the loop in an exchange: time goes on by hand."""

    def __init__(self) -> None:
        self.now, self.due = 0.0, list[tuple[float, Callable[[], None]]]()
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        self.due.append((self.now + seconds, callback))
        return asyncio.get_running_loop().call_soon(lambda: None)

    def pass_until(self, moment: float) -> None:
        while self.due and self.due[0][0] <= moment:
            self.now, callback = self.due.pop(0)
            callback()
        self.now = moment


@on_single_servers
async def test_an_answer_is_overdue_once_no_byte_has_moved_for_the_timeout(address: RedisAddress) -> None:
    connection: Connection = address.connection(address.host, address.port)
    await connection.connect()  # type: ignore[no-untyped-call]
    exchange, clock = Exchange(connection, 5.0), _Clock()
    exchange._loop = clock  # type: ignore[assignment]
    asking = asyncio.create_task(exchange.of(b"", 2))
    await asyncio.sleep(0)
    for moment in (4.0, 8.0, 12.0):
        clock.pass_until(moment)
        exchange.data_received(b"+" if moment == 4.0 else b"x")
    clock.pass_until(16.0)
    assert not asking.done()
    clock.pass_until(17.0)
    with pytest.raises(RedisError, match="no answer within"):
        await asking
    await connection.disconnect()


@on_single_servers
async def test_the_stream_of_redis_py_is_where_an_exchange_looks_for_it(address: RedisAddress) -> None:
    connection: Connection = address.connection(address.host, address.port)
    await connection.connect()  # type: ignore[no-untyped-call]
    assert isinstance(connection._writer, asyncio.StreamWriter)
    assert isinstance(connection._writer.transport.get_protocol(), asyncio.StreamReaderProtocol)
    exchange = Exchange(connection, 5.0)
    assert connection._writer.transport.get_protocol() is exchange
    assert await exchange.of(hiredis.pack_command(("PING",)), 1) == [b"PONG"]
    await connection.disconnect()  # returns only where the stream learns of its end
    assert exchange.lost
