"""Where a partition's owner starts to read, and when it refuses to start."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from aiokafka.errors import KafkaError

from agents.identity import topic_identities
from agents.inbox import Feed
from agents.meters import Meters
from agents.patience import Backoff
from store.contract import TopicPosition

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class PositionRefused(Exception):
    """The stored position cannot belong to this log; the message says why and what to do."""


class Verdict(StrEnum):
    """How a stored position relates to its log."""

    OK = "ok"
    NEW = "new"  # nothing is stored: reading starts at the earliest record
    RECREATED = "recreated"  # the position counts in another incarnation of the topic: refused
    BEYOND_END = "beyond end"  # the log ends before the position: refused
    LOST = "events lost"  # the log begins behind the position


def verdict(known: TopicPosition | None, epoch: str, first: int, end: int) -> Verdict:
    """What is to be thought of a position in a log from `first` to `end`, of the topic's incarnation `epoch`."""
    if known is None:
        return Verdict.NEW
    if known.epoch and epoch and known.epoch != epoch:
        return Verdict.RECREATED
    if known.next_offset > end:
        return Verdict.BEYOND_END
    return Verdict.LOST if known.next_offset < first else Verdict.OK


def starting_offsets(
    partition: int,
    position: Mapping[str, TopicPosition],
    bounds: Mapping[str, tuple[int, int]],
    epochs: Mapping[str, str],
    meters: Meters,
) -> dict[str, int]:
    """The offset of each topic from which to read: its position, or the earliest where there is none.

    `bounds` gives first offset and end of each log, `epochs` the topic's identity ("" where unknown). A position before
    the log's start means that events were deleted unread: that is said loudly, and reading starts at the earliest.

    Raises:
        PositionRefused: the position is beyond the log's end, or counts in another incarnation of the topic.
    """
    offsets = {}
    for topic, (first, end) in bounds.items():
        known = position.get(topic)
        if known is None:
            offsets[topic] = first
            continue
        found = verdict(known, epochs[topic], first, end)
        if found is Verdict.RECREATED:
            raise PositionRefused(
                f"{topic}[{partition}]: the topic was recreated: the stored position {known.next_offset} counts in "
                f"{known.epoch}, the topic is now {epochs[topic]}. Decide what of the new topic is to be applied, then "
                "reset the position, or use an empty store."
            )
        if found is Verdict.BEYOND_END:
            raise PositionRefused(
                f"{topic}[{partition}]: the stored position {known.next_offset} is beyond the log's end {end}: "
                "the topic was recreated, or lost its tail. Restore the topic, or reset the position."
            )
        if found is Verdict.LOST:
            log.critical(
                "%s[%d]: offsets %d to %d were deleted before they were applied: raise the topic's retention",
                topic, partition, known.next_offset, first - 1,
            )  # fmt: skip
            meters.skipped(topic, first - known.next_offset, lost=True)
        offsets[topic] = max(first, known.next_offset)
    return offsets


class LogFacts(Protocol):
    """What a partition's owner asks about the logs before it starts."""

    async def epochs(self, topics: Sequence[str]) -> dict[str, str]:
        """The identity of each topic, "" where unknown."""
        ...

    async def bounds(self, feed: Feed, partition: int, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First offset and end of each topic's log."""
        ...


class Logs:
    """Identity and bounds of the topics' logs, asked for until the broker answers.

    `options` are what every aiokafka client of the deployment takes. One assignment asks for identities once.
    """

    def __init__(self, options: Mapping[str, Any], meters: Meters) -> None:
        self._options, self._meters = options, meters
        self._asked: dict[tuple[str, ...], asyncio.Task[dict[str, str]]] = {}

    def forget(self) -> None:
        """A new assignment: topics may have been recreated since."""
        for task in self._asked.values():
            task.cancel()
        self._asked.clear()

    async def epochs(self, topics: Sequence[str]) -> dict[str, str]:
        """The identity of each topic, "" where the broker does not tell."""
        names = tuple(topics)
        if names not in self._asked:
            self._asked[names] = asyncio.create_task(self._answered(lambda: topic_identities(self._options, names)))
        return await asyncio.shield(self._asked[names])

    async def bounds(self, feed: Feed, partition: int, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First offset and end of each topic's log."""
        return await self._answered(lambda: feed.bounds(partition, topics))

    async def _answered(self, call: Callable[[], Awaitable[_T]]) -> _T:
        backoff = Backoff()
        while True:
            try:
                return await call()
            except KafkaError as error:
                log.warning("broker unavailable, trying again: %r", error)
                self._meters.retried("broker")
            await backoff.wait()
