"""The store in Redis (or Valkey): one server, or a Redis Cluster.

Keys of partition p, which share the hash tag `{p}` and so one server: `{p}:position` (hash: topic -> offset and epoch,
and under the empty name a token that every commit renews), `{p}:header`, `{p}:outbox` (list), `{p}:timers` (sorted
set) and `{p}:r:<user>` (packed record). The limit projection is a hash per user, `limit:<user>`, on whatever server
the cluster puts it.
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from store.address import RedisAddress
from store.contract import (
    Commit,
    CorruptState,
    Header,
    LimitView,
    Opened,
    ServerReport,
    StaleOwner,
    StoreUnavailable,
)
from store.encoding import (
    decode_header,
    decode_limit,
    decode_message,
    decode_position,
    encode_header,
    encode_limit,
    encode_message,
    encode_position,
)
from store.link import Link, Server
from store.report import report_of
from store.servers import Servers
from store.together import MOST_RECORDS, Together
from store.transactions import Part, Transactions, Undone, pairs, text
from store.wire import Command

__all__ = ["RedisAddress", "RedisStore"]

#: Field of the position's hash that every commit renews: offsets alone would not show a commit that moved timers only,
#: nor one that reached the same offsets another way after Redis came back with an older state.
_TOKEN = b""

_READ_ATTEMPTS = 20

_NEWER_LIMIT_WINS = b"""
local known = redis.call('HGET', KEYS[1], 'version')
if #ARGV == 2 then
  if known and tonumber(known) <= tonumber(ARGV[2]) then return redis.call('DEL', KEYS[1]) end
  return 0
end
if known and tonumber(known) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
_NEWER_LIMIT_WINS_SHA = hashlib.sha1(_NEWER_LIMIT_WINS, usedforsecurity=False).hexdigest().encode()


class RedisPartition:
    """One owner's view of one partition, on a connection of its own (WATCH belongs to a connection)."""

    def __init__(self, servers: Servers, number: int, together: Together | None) -> None:
        self._servers, self._together = servers, together
        self._tag = servers.address.key(f"{{{number}}}:")
        self._position_key, self._header_key, self._outbox_key, self._timers_key = (
            f"{self._tag}{name}".encode() for name in ("position", "header", "outbox", "timers")
        )
        self._record_prefix = f"{self._tag}r:"
        self._alone: Transactions | None = None
        self._seen: dict[bytes, bytes] | None = None
        self._part: Part | None = None  # of the newest commit
        self._knows: int | None = None  # the connection of the newest commit together with others

    async def open(self) -> Opened:
        """Read header, position and outbox in one step; from now on commits are checked against this position.

        Raises CorruptState where something is damaged, missing or of a newer form, and StoreUnavailable.
        """
        position, header, outbox = await self._read_whole()
        if bool(position) != (header is not None):
            missing = self._header_key if position else self._position_key
            raise CorruptState(f"{text(missing)}: is missing, though the rest of the partition is there")
        opened = Opened(
            header=Header() if header is None else decode_header(header, text(self._header_key)),
            position={
                topic.decode(): decode_position(stored, f"{text(self._position_key)}, {text(topic)}")
                for topic, stored in position.items()
                if topic != _TOKEN
            },
            outbox=[decode_message(stored, text(self._outbox_key)) for stored in outbox],
        )
        self._seen = position
        return opened

    async def _read_whole(self) -> tuple[dict[bytes, bytes], bytes | None, list[bytes]]:
        """Read the stored position, header and outbox as one commit left them.

        Not by MULTI, which a server without memory refuses even for reads: a position with an unchanged token before
        and after says as much.
        """
        if self._together is not None:
            await self._together.settled(self._position_key)
        for _ in range(_READ_ATTEMPTS):
            before, header, outbox, _, after = await self._ask(
                (b"HGETALL", self._position_key),
                (b"GET", self._header_key),
                (b"LRANGE", self._outbox_key, b"0", b"-1"),
                (b"ZCARD", self._timers_key),  # only to learn of a key of a wrong type before the first commit
                (b"HGETALL", self._position_key),
            )
            if pairs(before) == pairs(after):
                return pairs(before), header, outbox
        raise StoreUnavailable(f"{text(self._position_key)}: moved during each of {_READ_ATTEMPTS} attempts to read it")

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Packed records in the order of `users`; None where there is none."""
        if not users:
            return []
        (found,) = await self._ask((b"MGET", *map(self._record_key, users)))
        return list(found)

    async def due(self, until: int, limit: int) -> list[str]:
        """Users whose timer is at most `until` (seconds), earliest first (then by name), at most `limit` of them."""
        if limit <= 0:
            return []
        (found,) = await self._ask(
            (b"ZRANGE", self._timers_key, b"-inf", b"%d" % until, b"BYSCORE", b"LIMIT", b"0", b"%d" % limit)
        )
        return [user.decode() for user in found]

    async def first_timer(self) -> int:
        """When the earliest timer is (seconds); 0 where there is none."""
        (found,) = await self._ask((b"ZRANGE", self._timers_key, b"0", b"0", b"WITHSCORES"))
        return int(float(found[1])) if found else 0

    async def commit(self, commit: Commit) -> None:
        """Apply all of `commit`, or nothing.

        Raises StaleOwner where anybody else committed since this view last opened or committed, or where it was never
        opened; StoreUnavailable where the store refuses or does not answer, and the commit may or may not have
        happened.
        """
        seen = self._seen
        if seen is None:
            raise StaleOwner(f"{text(self._position_key)}: this view was never opened")
        position = {topic.encode(): encode_position(at) for topic, at in commit.position.items()}
        moved = {topic: stored for topic, stored in position.items() if seen.get(topic) != stored}
        moved[_TOKEN] = secrets.token_bytes(8)
        values = {self._header_key: encode_header(commit.header)}
        steps = list(self._steps(commit, moved))
        self._part = part = Part(self._position_key, seen, values, self._record_prefix.encode(), commit.records, steps)
        # What happened to this view's own connection is told by it.
        is_lost = self._alone is not None and self._alone.link.lost
        if self._together is None or is_lost or len(commit.records) > MOST_RECORDS:
            await self._commit_alone(part)
        else:
            try:
                self._knows = await self._together.commit(part, len(commit.records), self._knows)
            except Undone:
                await self._commit_alone(part)
            except StoreUnavailable:
                await self._is_told()
                raise
        if self._seen == seen:  # else it was closed or opened meanwhile
            self._seen = {**seen, **moved}

    async def _commit_alone(self, part: Part) -> None:
        """Commit on this view's own connection."""
        if part.withdrawn:
            raise StaleOwner(f"{text(self._position_key)}: this view was closed")
        if self._together is not None:
            self._together.moved(self._position_key)
        try:
            (refused,) = await (await self._transactions()).commit([part])
        except StoreUnavailable as error:
            refused = error
        if isinstance(refused, StoreUnavailable):
            await self._is_told()
        if refused is not None:
            raise refused

    def _steps(self, commit: Commit, moved: Mapping[bytes, bytes]) -> Iterator[Command]:
        """Give the commands that follow once header and records are set."""
        wanted = [(b"%d" % when, user.encode()) for user, when in commit.timers.items() if when]
        if wanted:
            yield (b"ZADD", self._timers_key, *_flat(wanted))
        # After the records and timers, so that a user who is in both is gone.
        unwanted = [user.encode() for user, when in commit.timers.items() if not when]
        unwanted += [user.encode() for user in commit.retired]
        if unwanted:
            yield (b"ZREM", self._timers_key, *unwanted)
        yield (b"UNLINK", self._outbox_key, *map(self._record_key, commit.retired))
        if commit.outbox:
            yield (b"RPUSH", self._outbox_key, *map(encode_message, commit.outbox))
        yield (b"HSET", self._position_key, *_flat(moved.items()))

    async def users(self) -> AsyncIterator[str]:
        """Every user with a record, in no particular order; walks all keys of the server, so it is slow."""
        pattern = "".join(f"\\{sign}" if sign in "*?[]\\^" else sign for sign in self._record_prefix) + "*"
        prefix_length = len(self._record_prefix.encode())
        given: set[bytes] = set()
        cursor = b"0"
        while True:
            ((cursor, keys),) = await self._ask((b"SCAN", cursor, b"MATCH", pattern.encode(), b"COUNT", b"1000"))
            for key in keys:
                # A key can come twice while the server resizes its table.
                if key not in given:
                    given.add(key)
                    yield key[prefix_length:].decode()
            if cursor == b"0":
                return

    async def close(self) -> None:
        """Give the connection back; the view must be opened again before it commits."""
        self._seen = self._knows = None
        if self._part is not None:
            self._part.withdrawn = True
        if self._together is not None:
            self._together.moved(self._position_key)
        await self._release()

    def _record_key(self, user: str) -> bytes:
        return (self._record_prefix + user).encode()

    async def _ask(self, *commands: Command) -> list[Any]:
        try:
            return await (await self._transactions()).link.ask(*commands)
        except StoreUnavailable:
            await self._is_told()
            raise

    async def _transactions(self) -> Transactions:
        """Those on this view's own connection, to the server that holds the partition."""
        server = await self._servers.locate(self._position_key)
        if self._alone is None or self._alone.link.server != server:
            await self._release()
            self._alone = Transactions(self._servers.link(server))
        return self._alone

    async def _is_told(self) -> None:
        """The caller learns that the store was not there: no connection need tell again what happened until now."""
        self._servers.forget()
        self._knows = None
        if self._alone is not None:
            await self._alone.link.renew()

    async def _release(self) -> None:
        if self._alone is not None:
            await self._servers.release(self._alone.link)
            self._alone = None


class RedisStore:
    """All partitions of one deployment, in Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._servers = Servers(address)
        self._links: dict[Server, Link] = {}
        # A cluster refuses transactions over several slots.
        self._together = None if address.cluster else Together(self._servers.link(Server(address.host, address.port)))

    def partition(self, number: int) -> RedisPartition:
        """Make a view for a new owner of partition `number`; it has a connection of its own."""
        return RedisPartition(self._servers, number, self._together)

    async def project_limits(self, limits: Sequence[LimitView]) -> None:
        """Write `limit:<user>` where the version is newer than the stored one, or remove it where it is forgotten."""
        newest: dict[str, LimitView] = {}
        for view in limits:
            if view.user not in newest or newest[view.user].version < view.version:
                newest[view.user] = view
        by_server: defaultdict[Server, list[Command]] = defaultdict(list)
        for user, view in newest.items():
            key = self._limit_key(user)
            commands = by_server[await self._servers.locate(key)]
            # EVAL makes the script known to the server, so the commands behind it on the connection can go by its hash.
            script = (b"EVALSHA", _NEWER_LIMIT_WINS_SHA) if commands else (b"EVAL", _NEWER_LIMIT_WINS)
            fields = {b"version": b"%d" % view.version} if view.forgotten else encode_limit(view)
            commands.append((*script, b"1", key, *_flat(fields.items())))
        for server, commands in by_server.items():
            await self._ask(server, *commands)

    async def limit_of(self, user: str) -> LimitView | None:
        """What a checkout system would read; None where nothing was projected."""
        key = self._limit_key(user)
        (found,) = await self._ask(await self._servers.locate(key), (b"HGETALL", key))
        return decode_limit(user, pairs(found), text(key)) if found else None

    async def ping(self) -> None:
        """Raise StoreUnavailable where a server that holds keys does not answer."""
        try:
            servers = await self._servers.masters()
        except StoreUnavailable:
            self._servers.forget()
            raise
        for server in servers:
            await self._ask(server, (b"PING",))

    async def report(self) -> list[ServerReport]:
        """What every server that holds keys says of itself; nothing is written. Raises StoreUnavailable."""
        return [await report_of(self._servers, server) for server in await self._servers.masters()]

    async def close(self) -> None:
        """Close all connections, those of the partitions' views included."""
        self._links.clear()
        if self._together is not None:
            self._together.give_up()
        await self._servers.close()

    def _limit_key(self, user: str) -> bytes:
        return self._servers.address.key(f"limit:{user}").encode()

    async def _ask(self, server: Server, *commands: Command) -> list[Any]:
        link = self._links.get(server)
        if link is None:
            link = self._links[server] = self._servers.link(server)
        try:
            return await link.ask(*commands)
        except StoreUnavailable:
            self._servers.forget()
            raise


def _flat(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    return chain.from_iterable(pairs)
