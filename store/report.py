"""What a Redis server says of itself, and whether it lets this login do what the store needs."""

import time
from collections.abc import Iterator, Sequence

from store.contract import CorruptState, ServerReport, StoreUnavailable
from store.link import Link, Server
from store.servers import Servers
from store.wire import Command

_SETTINGS = (b"appendonly", b"appendfsync", b"save", b"maxmemory", b"maxmemory-policy")
#: Partition numbers among which one is looked for whose keys a server holds.
_NUMBERS = 4_096


async def report_of(servers: Servers, server: Server) -> ServerReport:
    """Ask one server. Raises StoreUnavailable where it does not answer, or does not let this login in."""
    link = servers.link(server)
    try:
        await link.ask((b"PING",))
        before = time.time()
        ((seconds, microseconds),) = await link.ask((b"TIME",))
        after = time.time()
        info = await _lines(link, (b"INFO",))
        if info.get("cluster_enabled") == "1":
            info |= await _lines(link, (b"CLUSTER", b"INFO"))
        config: dict[str, str] = {}
        for name in _SETTINGS:
            config |= await _setting(link, name)
        refused = await _refusals(servers, server, link)
    finally:
        await servers.release(link)
    ahead = int(seconds) + int(microseconds) / 1e6 - (before + after) / 2
    return ServerReport(str(server), info, config, refused, ahead * 1000, (after - before) * 500)


async def _lines(link: Link, command: Command) -> dict[str, str]:
    """The `name:value` lines of a reply; none where the command is refused."""
    try:
        (reply,) = await link.ask(command)
    except StoreUnavailable:
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value for name, sign, value in pairs if sign}


async def _setting(link: Link, name: bytes) -> dict[str, str]:
    """One setting; none where asking is refused, as managed services do."""
    try:
        (reply,) = await link.ask((b"CONFIG", b"GET", name))
    except StoreUnavailable:
        return {}
    return {name.decode(): reply[1].decode(errors="replace")} if reply else {}


async def _refusals(servers: Servers, server: Server, link: Link) -> dict[str, str]:
    """By command what the server says against it; writes are queued in a transaction that is then discarded."""
    tag = await _key_of(servers, server, "{%d}:position")
    limit = await _key_of(servers, server, "limit:doctor-%d")
    if tag is None or limit is None:
        return {}
    refused: dict[str, str] = {}
    for command in (*_reads(tag.removesuffix(b"position")), (b"HGET", limit, b"version")):
        await _note(link, command, [command], refused)
    for command in (*_writes(tag.removesuffix(b"position")), *_limit_writes(limit)):
        await _note(link, command, [(b"MULTI",), command, (b"DISCARD",)], refused)
    return refused


async def _note(link: Link, command: Sequence[bytes], commands: Sequence[Command], refused: dict[str, str]) -> None:
    try:
        await link.ask(*commands)
    except StoreUnavailable as error:
        refused.setdefault(command[0].decode(), str(error))
    except CorruptState:
        pass  # it was let in; what it found is told where it is read


async def _key_of(servers: Servers, server: Server, pattern: str) -> bytes | None:
    """A key of this pattern that the server holds."""
    for number in range(_NUMBERS):
        key = servers.address.key(pattern % number).encode()
        if await servers.locate(key) == server:
            return key
    return None


def _reads(tag: bytes) -> Iterator[tuple[bytes, ...]]:
    yield b"WATCH", tag + b"position"
    yield (b"UNWATCH",)
    yield b"HGETALL", tag + b"position"
    yield b"GET", tag + b"header"
    yield b"LRANGE", tag + b"outbox", b"0", b"0"
    yield b"ZCARD", tag + b"timers"
    yield b"ZRANGE", tag + b"timers", b"-inf", b"0", b"BYSCORE", b"LIMIT", b"0", b"1"
    yield b"MGET", tag + b"r:doctor"
    yield b"SCAN", b"0", b"MATCH", tag + b"r:doctor", b"COUNT", b"1"


def _writes(tag: bytes) -> Iterator[tuple[bytes, ...]]:
    yield b"MSET", tag + b"r:doctor", b""
    yield b"ZADD", tag + b"timers", b"1", b"doctor"
    yield b"ZREM", tag + b"timers", b"doctor"
    yield b"UNLINK", tag + b"r:doctor"
    yield b"RPUSH", tag + b"outbox", b""
    yield b"HSET", tag + b"position", b"", b""


def _limit_writes(limit: bytes) -> Iterator[tuple[bytes, ...]]:
    yield b"EVAL", b"return 1", b"1", limit
    yield b"EVALSHA", b"0" * 40, b"1", limit
    yield b"HSET", limit, b"version", b"0"
    yield b"DEL", limit
