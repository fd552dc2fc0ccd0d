"""What a partition's commits decided, on its way out: the journal, then the topics and the limits that checkouts read.

It goes out while the next batches are decided: one after the other, and what is not out yet stays in the outbox.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

from agents.ports import Deps
from messages.journal import JOURNAL
from messages.message import Message
from store.contract import LimitView
from store.projection import limit_views

_T = TypeVar("_T")

#: Commits whose outbox may be under way while the next one is made.
MOST_UNDER_WAY = 1


class _UnderWay(NamedTuple):
    outbox: Sequence[Message]
    task: "asyncio.Task[None]"


class Stored(Protocol):
    """Calls the store until it answers."""

    async def __call__(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """What `call` returns."""
        ...


class Outgoing:
    """One partition's way out; used by one owner at a time."""

    def __init__(self, partition: int, deps: Deps, stored: Stored) -> None:
        self._partition, self._deps, self._stored = partition, deps, stored
        self._under_way: deque[_UnderWay] = deque()
        self.begin(0)

    def begin(self, journal: int) -> None:
        """A new owner starts: `journal` is an offset of the partition's journal that is not after its next entry."""
        self.journal = journal
        #: What was projected last: by what is under way, and before the newest commit that waited for nothing else.
        self._limits: deque[Sequence[LimitView]] = deque(maxlen=MOST_UNDER_WAY + 1)
        self._unsure = False

    @property
    def unpublished(self) -> list[Message]:
        """What the next commit has to keep in the outbox."""
        return [message for one in self._under_way for message in one.outbox]

    def doubt(self) -> None:
        """Redis was away: it may have forgotten what was projected last."""
        self._unsure = True

    async def hand_out(self, outbox: Sequence[Message]) -> int:
        """Publish and project what a commit decided, its journal entry first: nothing is seen that could change again.

        Were both sent at once, a decision might get through and the entry be lost, and then the store its commit.
        Returns the offset of the entry.
        """
        offset, decisions = 0, []
        for message in outbox:
            if message.topic == JOURNAL:
                offset = await self._deps.publisher.record(message, self._partition)
                self._deps.reached("journaled")
            else:
                decisions.append(message)
        views = limit_views(decisions)
        # Not in a task of its own: it would leave a turn of the event loop after what the other partitions decided.
        projecting = asyncio.create_task(self._project(views)) if views or self._unsure else None
        try:
            await self._deps.publisher.publish(decisions, self._partition)
            if projecting is not None:
                await projecting
        finally:
            if projecting is not None:
                projecting.cancel()
        self._deps.reached("published")
        return offset

    def send_off(self, outbox: Sequence[Message], then: Callable[[], None], *, is_newest: bool) -> None:
        """Begin to hand out what a commit decided once everything before it is out, and call `then` when that is done.

        `is_newest` is False for an entry that the journal has already, with others behind it.
        """
        before = self._under_way[-1].task if self._under_way else None

        async def go() -> None:
            if before is not None:
                await _ended(before)
            offset = await self.hand_out(outbox)
            if is_newest:
                self.journal = offset
            then()

        task = asyncio.create_task(go(), name=f"what partition {self._partition} decided")
        self._under_way.append(_UnderWay(outbox, task))

    async def finished(self, but: int = 0) -> None:
        """Wait until no more than `but` commits' outboxes are under way. Raises what one of them failed with."""
        while self._under_way and (len(self._under_way) > but or self._under_way[0].task.done()):
            await _ended(self._under_way[0].task)
            self._under_way.popleft()

    async def look(self) -> None:
        """Raise what has failed meanwhile; and project once more what Redis may have forgotten."""
        await self.finished(len(self._under_way))
        if self._unsure and not self._under_way:
            await self._project([])

    async def stop(self) -> None:
        """Give up what is under way: the next owner finds it in the outbox."""
        tasks = [one.task for one in self._under_way]
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _project(self, views: Sequence[LimitView]) -> None:
        """Write these limits; before them, where need be, those written last.

        A Redis that lost its tail may have kept a commit and forgotten the limits that were written after it. Those of
        commits further back it has: they were written before the newest commit was made.
        """
        wanted = [*chain.from_iterable(self._limits), *views] if self._unsure else views
        self._unsure = False
        if wanted:
            await self._stored(lambda: self._deps.store.project_limits(wanted))
        if views:
            self._limits.append(views)


async def _ended(task: "asyncio.Task[None]") -> None:
    """Wait until a task has ended, which goes on where this is given up. Raises what it failed with."""
    if task.done():
        task.result()
    else:
        await asyncio.shield(task)
