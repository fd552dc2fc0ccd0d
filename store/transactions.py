"""Commits on one connection, which watches the positions they rest on from one commit to the next."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from store.contract import CorruptState, StaleOwner
from store.link import Link
from store.wire import Command, set_values

#: Positions that are watched along at most, for partitions that may be in the next commit, though not in this one.
_WATCHED = 16


class Undone(Exception):
    """Nothing of this part was applied, and the reason may lie with another part of the same transaction."""


@dataclass(slots=True, eq=False)
class Part:
    """What one partition commits, on condition that its position (a hash under this key) is still as it was seen.

    `values` are set under their keys and `records` under their users' names behind `prefix`, before the `steps`. A part
    that is `withdrawn` before its transaction begins is not committed.
    """

    position: bytes
    seen: Mapping[bytes, bytes]
    values: Mapping[bytes, bytes]
    prefix: bytes
    records: Mapping[str, bytes]
    steps: Sequence[Command]
    withdrawn: bool = False


class Transactions:
    """Makes commits of one or several partitions on one connection, one after the other."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._lock = asyncio.Lock()
        self._watched: dict[bytes, Sequence[bytes]] = {}  # by key, how the position was found when its watch began
        self._connection = 0  # on which they are watched: a watch ends with its connection
        self._in_vain = False  # one of them has moved since, so that nothing can be committed beside them

    def moved(self, position: bytes) -> None:
        """Somebody in this process has moved a position, or it is no longer of interest: its watch is worth nothing."""
        if self._watched.pop(position, None) is not None:
            self._in_vain = True

    async def commit(self, parts: Sequence[Part]) -> list[Exception | None]:
        """Apply all parts (each of another partition) in one step; returns for each None, or why it was not applied.

        That is StaleOwner where its position was moved, CorruptState where a key holds another type than it should (of
        several commands for it some may then be done), StoreUnavailable where the store refuses, and Undone where
        nothing was applied because of another part. Raises StoreUnavailable where it is unknown what was done.
        """
        async with self._lock:
            refused = {} if self._holds(parts) else await self._watch(parts)
            going = [part for part in parts if part not in refused]
            if going:
                refused |= await self._apply(going)
        return [refused.get(part) for part in parts]

    def _holds(self, parts: Iterable[Part]) -> bool:
        """Whether each position has been watched since it was as the part has seen it."""
        if self._in_vain or not self.link.connected or self._connection != self.link.connections:
            return False
        watched = self._watched
        return all(part.position in watched and pairs(watched[part.position]) == part.seen for part in parts)

    async def _watch(self, parts: Sequence[Part]) -> dict[Part, Exception]:
        """Watch these positions only; returns what keeps parts from being applied."""
        keys = [part.position for part in parts]
        self._watched = {}
        replies = await self.link.send(((b"UNWATCH",), *_watch(keys)))
        found = replies[2:]
        refusals = [reply for reply in replies if isinstance(reply, RedisError)]
        refused: dict[Part, Exception] = {}
        for part, reply in zip(parts, found, strict=True):
            if isinstance(reply, RedisError):
                refused[part] = self.link.translated(reply)
            elif not self.link.connected:
                refused[part] = Undone() if len(parts) > 1 else self.link.translated(refusals[0])
            elif pairs(reply) != part.seen:
                refused[part] = StaleOwner(f"{text(part.position)}: somebody else moved it")
        self._note(keys, found)
        return refused

    async def _apply(self, parts: Sequence[Part]) -> dict[Part, Exception]:
        values = {key: value for part in parts for key, value in part.values.items()}
        steps: list[Command] = [set_values(values, ((part.prefix, part.records) for part in parts))]
        steps += [step for part in parts for step in part.steps]
        # The next commit's watch goes along with this commit, which saves it a round trip.
        keys = [part.position for part in parts]
        others = [key for key in self._watched if key not in keys]
        is_alone = len(parts) == 1 and not others
        keys = [*others[max(0, len(others) + len(keys) - _WATCHED) :], *keys]
        self._watched = {}
        replies = await self.link.send(((b"MULTI",), *steps, (b"EXEC",), *_watch(keys)), continued=True)
        begun, done = replies[0], replies[len(steps) + 1]
        self._note(keys, replies[len(steps) + 3 :])
        refusals = [reply for reply in replies[: len(steps) + 2] if isinstance(reply, RedisError)]
        if isinstance(begun, RedisError):
            raise self.link.translated(begun)  # what followed may have been done outside of a transaction
        if refusals or done is None:
            # Redis has applied nothing: a command was refused when it was queued, or any position watched had moved.
            if not is_alone:
                return {part: Undone() for part in parts}
            if refusals:
                return {parts[0]: self.link.translated(refusals[0])}
            return {parts[0]: StaleOwner(f"{text(parts[0].position)}: somebody else moved it during the commit")}
        return _refusals_within(parts, done)

    def _note(self, keys: Sequence[bytes], found: Sequence[Any]) -> None:
        """Remember what is watched, if the connection is still there, and how it was found."""
        readable = (pair for pair in zip(keys, found, strict=True) if not isinstance(pair[1], RedisError))
        self._watched, self._connection, self._in_vain = dict(readable), self.link.connections, False


def _watch(keys: Sequence[bytes]) -> tuple[Command, ...]:
    return (b"WATCH", *keys), *((b"HGETALL", key) for key in keys)


def _refusals_within(parts: Sequence[Part], done: Sequence[Any]) -> dict[Part, Exception]:
    """What Redis found when it applied the parts: it does not undo the rest for that."""
    refused: dict[Part, Exception] = {}
    start = 1
    for part in parts:
        for reply in (done[0], *done[start : start + len(part.steps)]):
            if isinstance(reply, Exception):
                refused[part] = CorruptState(f"{text(part.position)}: a part of its commit was refused: {reply}")
                break
        start += len(part.steps)
    return refused


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn the reply of HGETALL into a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def text(name: bytes) -> str:
    """A key or field for people, whatever its bytes are."""
    return name.decode(errors="backslashreplace")
