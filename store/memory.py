"""The store in this process's memory: for replays, tests and trials; what it holds ends with the process."""

import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from messages.message import Message
from store.contract import Commit, Header, LimitView, Opened, ServerReport, StaleOwner, TopicPosition


@dataclass(slots=True)
class _Kept:
    """Everything that one partition holds; `token` is another object after every commit."""

    header: Header = field(default_factory=Header)
    position: dict[str, TopicPosition] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    # Every timer of `timers`, and stale entries that are dropped when they come up.
    queue: list[tuple[int, str]] = field(default_factory=list)
    outbox: tuple[Message, ...] = ()
    token: object = field(default_factory=object)

    def set_timer(self, user: str, when: int) -> None:
        if when == 0:
            self.timers.pop(user, None)
        elif self.timers.get(user) != when:
            self.timers[user] = when
            heapq.heappush(self.queue, (when, user))

    def drop_stale_entries(self) -> None:
        if len(self.queue) > 2 * len(self.timers) + 1_000:
            self.queue = [(when, user) for user, when in self.timers.items()]
            heapq.heapify(self.queue)


class MemoryPartition:
    """One owner's view of one partition."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept
        self._seen: object | None = None

    async def open(self) -> Opened:
        """Read header, position and outbox; from now on commits are checked against this position."""
        self._seen = self._kept.token
        return Opened(self._kept.header, dict(self._kept.position), self._kept.outbox)

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Packed records in the order of `users`; None where there is none."""
        return list(map(self._kept.records.get, users))

    async def due(self, until: int, limit: int) -> list[str]:
        """Users whose timer is at most `until` (seconds), earliest first (then by name), at most `limit` of them."""
        queue, timers = self._kept.queue, self._kept.timers
        found: dict[str, int] = {}
        while queue and queue[0][0] <= until and len(found) < limit:
            when, user = heapq.heappop(queue)
            if timers.get(user) == when:
                found[user] = when
        for user, when in found.items():
            heapq.heappush(queue, (when, user))
        return list(found)

    async def first_timer(self) -> int:
        """When the earliest timer is (seconds); 0 where there is none."""
        return min(self._kept.timers.values(), default=0)

    async def commit(self, commit: Commit) -> None:
        """Apply all of `commit`, or raise StaleOwner and apply nothing."""
        kept = self._kept
        if self._seen is not kept.token:
            raise StaleOwner("somebody else moved the partition's position, or this view was never opened")
        kept.header, kept.outbox = commit.header, tuple(commit.outbox)
        kept.position.update(commit.position)
        kept.records.update(commit.records)
        for user, when in commit.timers.items():
            kept.set_timer(user, when)
        for user in commit.retired:
            kept.records.pop(user, None)
            kept.set_timer(user, 0)
        kept.drop_stale_entries()
        kept.token = self._seen = object()

    async def users(self) -> AsyncIterator[str]:
        """Every user with a record, in no particular order."""
        for user in list(self._kept.records):
            yield user

    async def close(self) -> None:
        """End this view; it must be opened again before it commits."""
        self._seen = None


class MemoryStore:
    """All partitions of one deployment, in memory."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Kept] = {}
        self._limits: dict[str, LimitView] = {}

    def partition(self, number: int) -> MemoryPartition:
        """Make a view for a new owner of partition `number`."""
        return MemoryPartition(self._partitions.setdefault(number, _Kept()))

    async def project_limits(self, limits: Sequence[LimitView]) -> None:
        """Keep each view whose version is newer than the one known; drop what is forgotten."""
        for view in limits:
            known = self._limits.get(view.user)
            if view.forgotten and known is not None and known.version <= view.version:
                del self._limits[view.user]
            elif not view.forgotten and (known is None or known.version < view.version):
                self._limits[view.user] = view

    async def limit_of(self, user: str) -> LimitView | None:
        """What a checkout system would read; None where nothing was projected."""
        return self._limits.get(user)

    async def ping(self) -> None:
        """Return: memory always answers."""

    async def report(self) -> list[ServerReport]:
        """Nothing: there is no server."""
        return []

    async def close(self) -> None:
        """Return: there is nothing to give back, and a replay may still read what is kept."""
