"""The partition's side of the transport: what was handed over and waits, and how much more is wanted."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from agents.alignment import Batch, Lane, cut_batch
from agents.meters import Meters
from agents.transport import RecordBatch
from messages.decoding import Decoded

log = logging.getLogger(__name__)

#: Events that a topic may always have waiting, so that the others need not wait for its next fetch.
ALWAYS_WANTED = 1_000
#: Seconds after which it is said loudly that topics have to wait for another one.
LONG_WAIT = 10.0
#: Seconds for which what was told of the lag may stand while batches come: nobody reads it more often.
REPORT_SECONDS = 0.2


class Feed(Protocol):
    """What a partition needs of `transport.Consumer`."""

    async def bounds(self, partition: int, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First offset and end of each topic's log."""
        ...

    async def end_beyond(self, topic: str, partition: int, offset: int) -> int:
        """The end of a log, looked at more closely because it seems to be before `offset`."""
        ...

    async def begin(self, partition: int, offsets: Mapping[str, int]) -> int:
        """Hand over from these offsets on, under the ticket that is returned."""
        ...

    def end(self, partition: int) -> None:
        """Hand over nothing any more."""
        ...

    def unread(self, topic: str, partition: int, taken: int) -> int:
        """Records of the log that an owner who has all up to offset `taken` does not have yet."""
        ...

    def seen_ms(self, topic: str, partition: int) -> int:
        """When `unread` was looked at last."""
        ...

    def nudge(self) -> None:
        """There is room again."""
        ...

    def finish(self, batch: RecordBatch) -> None:
        """Everything that the batch led to is published."""
        ...


class Inbox:
    """Lanes of one partition."""

    def __init__(self, partition: int, feed: Feed, meters: Meters, most: int) -> None:
        self._partition, self._feed, self._meters, self._most = partition, feed, meters, most
        self._ticket = 0
        self._lanes: dict[str, Lane] = {}
        self._news = asyncio.Event()
        self._held_since: dict[str, float] = {}
        self._told: dict[str, int] = {}  # what was reported last
        self._tell_again = 0.0  # not before, by the loop's time

    def open(self, ticket: int, offsets: Mapping[str, int]) -> None:
        """Expect hand-overs of this ticket from these offsets on."""
        self._ticket = ticket
        self._lanes = {topic: Lane(offset) for topic, offset in offsets.items()}

    def close(self) -> None:
        """Forget everything and expect nothing."""
        self._ticket, self._lanes = 0, {}

    def expects(self, batch: RecordBatch) -> bool:
        """Whether the hand-over belongs to the newest start. Raises RuntimeError where it does not join on."""
        if batch.ticket != self._ticket:
            return False
        end = self._lanes[batch.topic].end
        if batch.start != end:
            raise RuntimeError(f"{batch.topic}[{self._partition}]: handed over from {batch.start}, expected {end}")
        return True

    def add(self, batch: RecordBatch, decoded: Decoded) -> None:
        """Append a decoded hand-over to its lane."""
        lane = self._lanes[batch.topic]
        finish = partial(self._feed.finish, batch)
        lane.add(decoded.accepted, decoded.refused, batch.end, finish, batch.fetched_ms)
        self._news.set()

    def wants(self, topic: str) -> bool:
        """Whether the transport should hand over more of `topic`."""
        lane = self._lanes.get(topic)
        if lane is None:
            return False
        return lane.waiting < ALWAYS_WANTED or sum(lane.waiting for lane in self._lanes.values()) < self._most

    @property
    def caught_up(self) -> bool:
        """Whether everything in the logs has been gathered."""
        return not any(lane.waiting or self._unread(topic) for topic, lane in self._lanes.items())

    @property
    def is_held_back(self) -> bool:
        """Whether the newest cut left events behind because of a topic of which more has to be known first."""
        return bool(self._held_since)

    def progressed(self) -> None:
        """What is unread may have changed: look again if that was what kept the others waiting."""
        if self.is_held_back:
            self._news.set()

    def wake(self) -> None:
        """Let `gather` return."""
        self._news.set()

    def cut(self) -> Batch | None:
        """The next batch; None where there is none yet."""
        self._news.clear()
        batch, holding = cut_batch(self._lanes, self._unread, self._most, self._seen_ms)
        self._note(holding)
        if batch is not None:
            self._feed.nudge()
        return batch

    def is_large(self, batch: Batch) -> bool:
        """Whether it has half as many events as it may have, or more: there is a backlog, as far as one can tell."""
        return 2 * len(batch.events) >= self._most

    async def gather(self, seconds: float) -> Batch | None:
        """Wait for news since the last `cut`, then cut; None when there are none within `seconds`, or after `wake`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return None
        return self.cut()

    def report_now_and_then(self) -> None:
        """The same as `report`, unless that was just done."""
        if asyncio.get_running_loop().time() >= self._tell_again:
            self.report()

    def report(self) -> None:
        """Tell how much is unread or waiting, where that has changed."""
        self._tell_again = asyncio.get_running_loop().time() + REPORT_SECONDS
        for topic, lane in self._lanes.items():
            records = self._unread(topic) + lane.waiting
            if self._told.get(topic) != records:
                self._told[topic] = records
                self._meters.unread(topic, self._partition, records)

    def _unread(self, topic: str) -> int:
        return self._feed.unread(topic, self._partition, self._lanes[topic].end)

    def _seen_ms(self, topic: str) -> int:
        return self._feed.seen_ms(topic, self._partition)

    def _note(self, holding: Sequence[str]) -> None:
        now = asyncio.get_running_loop().time()
        for topic in holding:
            since = self._held_since.get(topic)
            if since is None:
                self._meters.held_back(topic)
            elif now - since > LONG_WAIT:
                log.warning("%s[%d] is not being read; the partition waits for it", topic, self._partition)
                since = None
            self._held_since[topic] = now if since is None else since
        for topic in self._held_since.keys() - set(holding):
            del self._held_since[topic]
