"""What a partition's commits decided, on its way out: the journal, then the topics and the limits that checkouts read.

It goes out while the next batch is decided. The next commit waits for it, because it trims the outbox.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from agents.ports import Deps
from messages.journal import JOURNAL
from messages.message import Message
from store.contract import LimitView
from store.projection import limit_views

_T = TypeVar("_T")


class Stored(Protocol):
    """Calls the store until it answers."""

    async def __call__(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """What `call` returns."""
        ...


class Outgoing:
    """One partition's way out; used by one owner at a time."""

    def __init__(self, partition: int, deps: Deps, stored: Stored) -> None:
        self._partition, self._deps, self._stored = partition, deps, stored
        self._under_way: asyncio.Task[None] | None = None
        self.begin(0)

    def begin(self, journal: int) -> None:
        """A new owner starts: `journal` is an offset of the partition's journal that is not after its next entry."""
        self.journal = journal
        self._limits: Sequence[LimitView] = ()  # what was projected last
        self._unsure = False

    def doubt(self) -> None:
        """Redis was away: it may have forgotten what was projected last."""
        self._unsure = True

    async def hand_out(self, outbox: Sequence[Message]) -> int:
        """Publish and project what a commit decided, its journal entry first: nothing is seen that could change again.

        Were both sent at once, a decision might get through and the entry be lost, and then the store its commit.
        Returns the offset of the entry.
        """
        offset = 0
        for entry in (message for message in outbox if message.topic == JOURNAL):
            offset = await self._deps.publisher.record(entry, self._partition)
            self._deps.reached("journaled")
        decisions = [message for message in outbox if message.topic != JOURNAL]
        views = limit_views(decisions)
        if views or self._unsure:
            await asyncio.gather(self._deps.publisher.publish(decisions, self._partition), self._project(views))
        else:
            await self._deps.publisher.publish(decisions, self._partition)
        self._deps.reached("published")
        return offset

    def send_off(self, outbox: Sequence[Message], then: Callable[[], None], *, is_newest: bool) -> None:
        """Begin to hand out a commit's outbox, and call `then` when that is done. The one before must be `finished`.

        `is_newest` is False for an entry that the journal has already, with others behind it.
        """

        async def go() -> None:
            offset = await self.hand_out(outbox)
            if is_newest:
                self.journal = offset
            then()

        self._under_way = asyncio.create_task(go(), name=f"what partition {self._partition} decided")

    async def finished(self) -> None:
        """Wait for what is under way. Raises what it failed with."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            try:
                await under_way
            except asyncio.CancelledError:
                under_way.cancel()
                raise

    async def look(self) -> None:
        """Raise what has failed meanwhile; and project once more what Redis may have forgotten."""
        if self._under_way is not None and self._under_way.done():
            await self.finished()
        if self._unsure and self._under_way is None:
            await self._project([])

    async def stop(self) -> None:
        """Give up what is under way: the next owner finds it in the outbox."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await under_way

    async def _project(self, views: Sequence[LimitView]) -> None:
        """Write these limits; before them, where need be, those written last.

        A Redis that lost its tail may have kept a commit and forgotten the limits that were written after it. Those of
        earlier commits it has: they were written before the newest commit was made.
        """
        wanted = [*self._limits, *views] if self._unsure else views
        self._unsure = False
        if wanted:
            await self._stored(lambda: self._deps.store.project_limits(wanted))
        self._limits = views or self._limits
