"""A Faust transport that hands over one message per fetch, and loses none at rebalances.

Faust's own consumer awaits every record alone, and books every hole in the offsets as acknowledged. This one chains
offsets instead: per owned partition it keeps the next offset to hand over, set by an explicit seek when the
partition's owner starts it. What was fetched and is not handed over is sought back; a batch that starts above the
expected offset is believed only when it starts there again after a seek. Every start of an owner has a *ticket*, which
ends at the next revocation or start: what was handed over under an earlier ticket is neither taken in nor committed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from agents.alignment import FOREVER
from agents.chain import Chain, Fetch
from agents.fetching import NOTHING, Fetched, InLoop, Look, fetch, resume, wake
from messages.records import RawRecords

log = logging.getLogger(__name__)

#: Name of the transport in Faust's broker URLs (the entry point in pyproject.toml): `duewatch://host:port`.
SCHEME = "duewatch"

#: Kafka's number for timestamps that the broker has set.
LOG_APPEND_TIME = 1
#: How often, and how long apart in seconds, the end of a log is looked at that seems to be before a stored position.
END_LOOKS, END_LOOK_SECONDS = 25, 0.2


class Revoked(Exception):
    """The partition was taken away while its owner was starting it."""


class RecordBatch(NamedTuple):
    """Records of one topic partition; it covers the offsets from `start` up to, not including, `end`."""

    topic: str
    partition: int
    start: int
    end: int
    records: RawRecords
    ticket: int
    fetched_ms: int = 0  # when the response that holds them came, by this machine's clock


@dataclass(frozen=True, slots=True)
class HandOver:
    """What one fetch brought of all partitions, and whether the logs had more: the value of one message."""

    batches: Sequence[RecordBatch]
    more: bool


class Intake(Protocol):
    """The side that takes hand-overs in; `agents.monitor` sets it as `app.intake`."""

    @property
    def by_event_time(self) -> bool:
        """Whether topics are to be in step by event time even where it runs faster than the clock."""
        ...

    def wants(self, topic: str, partition: int) -> bool:
        """False while the partition has enough to do."""
        ...

    def until_wanted(self) -> float:
        """Seconds for which nobody has a use for more, unless the consumer's `resume` is called."""
        ...

    def is_held_back(self) -> bool:
        """Whether anybody has events that he may not decide before more is known of a log."""
        ...

    def progressed(self) -> None:
        """A fetch has ended: what is unread may have changed."""
        ...

    def sought_back(self, topic: str) -> None:
        """A fetch was not delivered."""
        ...

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        """A hole was believed."""
        ...


class RecordBatches(Schema[Any, Any]):
    """Passes a message's HandOver through, undecoded."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


class Consumer(driver.Consumer):
    """Fetches, chains offsets and commits what is finished."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tickets = 0  # given out so far
        self._chains: dict[TP, Chain] = {}  # by partition that has begun
        self._finished: dict[TP, int] = {}  # one past the last hand-over that was acknowledged
        self._wanted: set[TP] = set()  # shared with the fetch in flight, never empty while one is
        self._room = asyncio.Event()

    @cached_property
    def _intake(self) -> Intake:
        intake: Intake = cast(Any, self.app).intake
        return intake

    def _new_consumer_thread(self) -> InLoop:
        return InLoop(self, beacon=self.beacon)

    # --- for the owner of a partition

    def counts(self, topics: Sequence[str]) -> dict[str, int]:
        """Partitions of each topic, 0 for one that does not exist."""
        cluster = self._thread._ensure_consumer()._client.cluster
        return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}

    async def bounds(self, partition: int, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
        """First offset and end of each topic's log. Raises aiokafka.errors.KafkaError."""
        tps = [TP(topic, partition) for topic in topics]
        first, end = await self.earliest_offsets(*tps), await self.highwaters(*tps)
        return {tp.topic: (first[tp], end[tp]) for tp in tps}

    async def end_beyond(self, topic: str, partition: int, offset: int) -> int:
        """The end of the log as fetching from `offset` tells it, waited for while it is less than `offset`.

        A list of offsets may be behind: right after a change of leader, and always on the embedded broker, whose list
        names the begin of the newest batch instead of its end. Raises Revoked.
        """
        tp, end = TP(topic, partition), 0
        for _ in range(END_LOOKS):
            try:
                self._go_to({tp: offset})
                await asyncio.sleep(END_LOOK_SECONDS)
                end = max(end, self.highwater(tp) or 0)
            except (IllegalStateError, AssertionError) as error:  # aiokafka asserts that it is assigned
                raise Revoked from error
            if end >= offset:
                break
        return end

    async def begin(self, partition: int, offsets: Mapping[str, int]) -> int:
        """Hand over from these offsets on, under the ticket that is returned.

        Raises Revoked when a rebalance has taken the partition away.
        """
        starts = {TP(topic, partition): offset for topic, offset in offsets.items()}
        try:
            self._go_to(starts)
        except IllegalStateError as error:
            raise Revoked from error
        self._tickets += 1
        for tp, offset in starts.items():
            self._acked.pop(tp, None)
            self._finished.pop(tp, None)
            self._chains[tp] = Chain(self._tickets, offset)
        self.nudge()
        return self._tickets

    def end(self, partition: int) -> None:
        """Hand over nothing more of this partition until it begins again."""
        for tp in [tp for tp in self._chains if tp.partition == partition]:
            del self._chains[tp]

    def unread(self, topic: str, partition: int, taken: int) -> int:
        """Records of the log that an owner who has all up to `taken` lacks as of `seen_ms`; 1 while that is unknown."""
        chain = self._chains.get(TP(topic, partition))
        return 0 if chain is None else chain.unread(taken)

    def seen_ms(self, topic: str, partition: int) -> int:
        """When the response came that the newest `unread` is from, by this machine's clock.

        Only what came in earlier responses is older than that look: a broker reads the partitions of one response one
        after the other, and history may be published between two of them. By the clock that does not matter: it would
        cost every event the time of a fetch, and what is less than a fetch apart is within the allowed lateness.
        """
        chain = self._chains.get(TP(topic, partition))
        return chain.seen_ms if chain is not None and self._intake.by_event_time else FOREVER

    def fetch_at_most(self, size: int) -> None:
        """From now on fetch so many bytes of a topic partition at once."""
        self._thread._ensure_consumer()._fetcher._max_partition_fetch_bytes = size

    def nudge(self) -> None:
        """There is room again: partitions that were left out of the fetch in flight join it."""
        self._room.set()
        joining = self._wanted_now(without=self._wanted) if self._wanted else set()
        if joining:
            self._wanted |= joining  # the fetch filters by this very set each time that it wakes up
            wake(self._thread._ensure_consumer())

    def resume(self) -> None:
        """Events are wanted now: send the fetch that was put off."""
        resume(self._thread._ensure_consumer())

    # --- fetching

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand over nothing more before anything else is done about the rebalance."""
        self._chains.clear()
        self._finished.clear()
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Nothing: Faust calls this once per assignment, here every partition's owner calls `begin`."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's
        """Hand over what was fetched, as one message: what comes together is seen together."""
        newest = self._tickets
        fetched = await self._fetch(seconds=timeout)
        self._announce(fetched)
        batches, sought = list[RecordBatch](), set[TP]()
        for tp, records in fetched.records.items():
            batch = await self._chain(tp, records)
            if batch is None:
                sought.add(tp)  # or its position may have been, meanwhile
            else:
                batches.append(batch)
        if batches and not self.should_stop:
            tp = TP(batches[0].topic, batches[0].partition)
            self._read_offset[tp] = None  # Faust's own dropping and gap bookkeeping stays off
            more = any(look.end > look.reached for look in fetched.looks.values())
            yield tp, self._message(tp, HandOver(batches, more))
        self._look_around(fetched.looks, sought, newest)
        self._intake.progressed()

    async def _fetch(self, seconds: float) -> Fetched:
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        self._room.clear()
        wanted = self._wanted_now()
        if self.should_stop or not wanted:
            await self.wait(self._room.wait(), timeout=seconds)
            return NOTHING
        self._wanted, intake = wanted, self._intake
        try:
            consumer = self._thread._ensure_consumer()
            return await fetch(consumer, wanted, seconds, intake.until_wanted, intake.is_held_back)
        finally:
            self._wanted = set()

    def _wanted_now(self, without: Collection[TP] = ()) -> set[TP]:
        wants, active = self._intake.wants, self._active_partitions
        return {tp for tp in self._chains if tp not in without and tp in active and wants(tp.topic, tp.partition)}

    def _announce(self, fetched: Fetched) -> None:
        """Say what a fetch holds before any of it is handed over: an owner that got one topic waits for the others."""
        for tp, records in fetched.records.items():
            chain, look = self._chains.get(tp), fetched.looks.get(tp)
            if chain is not None and chain.end is not None:
                chain.end = max(chain.end, int(records.offsets[-1]) + 1)
            if chain is not None and look is not None:
                chain.fetched_ms = look.seen_ms

    async def _chain(self, tp: TP, records: RawRecords) -> RecordBatch | None:
        chain = self._chains.get(tp)
        if chain is None:
            return None  # its owner will seek
        first, last = int(records.offsets[0]), int(records.offsets[-1])
        judged = chain.judge(first, last)
        if not self.flow_active or judged is Fetch.GAP:
            self._seek_back(tp, chain.next)
            return None
        if judged is Fetch.STALE or (judged is Fetch.HOLE and not await self._believe(tp, chain, first)):
            return None
        if first < chain.next:
            records = records.slice(int(np.searchsorted(records.offsets, chain.next)), len(records))
        start, end = chain.hand_over(last)
        return RecordBatch(tp.topic, tp.partition, start, end, records, chain.ticket, chain.fetched_ms)

    def _seek_back(self, tp: TP, offset: int) -> None:
        try:
            self._go_to({tp: offset})
        except IllegalStateError:
            return  # it was taken away: the next owner starts at the store's position
        self._intake.sought_back(tp.topic)

    async def _believe(self, tp: TP, chain: Chain, first: int) -> bool:
        """Tell a hole in the log from records that were deleted; False when it is not the time to say."""
        try:
            earliest = (await self.earliest_offsets(tp))[tp]
        except KafkaError:
            chain.look_again()  # nothing is skipped without knowing why
            self._seek_back(tp, chain.next)
            return False
        if self._chains.get(tp) is not chain:
            return False
        lost = earliest > chain.next
        if lost:
            log.critical("%s[%d]: offsets %d to %d were deleted before they were read", *tp, chain.next, earliest - 1)
        self._intake.skipped(tp.topic, first - chain.next, lost=lost)
        return True

    def _look_around(self, looks: Mapping[TP, Look], sought: Collection[TP], newest: int) -> None:
        """Take over looks of partitions of which everything that was fetched by then is handed over.

        Not of those that were `sought` since, nor of those that began since: their ticket is beyond the `newest` then.
        """
        for tp, chain in self._chains.items():
            look = looks.get(tp)
            if look is not None and chain.ticket <= newest and tp not in sought:
                chain.end, chain.reached, chain.seen_ms = look

    def _message(self, tp: TP, hand_over: HandOver) -> Any:
        make: Any = ConsumerMessage
        first = hand_over.batches[0]
        seconds = int(first.records.timestamps[-1]) / 1000.0
        return make(
            tp.topic, tp.partition, first.end - 1, seconds, LOG_APPEND_TIME, (), None, hand_over, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def _go_to(self, offsets: Mapping[TP, int]) -> None:
        """Raises IllegalStateError where a partition is not assigned any more."""
        consumer = self._thread._ensure_consumer()
        for tp, offset in offsets.items():
            consumer.seek(TopicPartition(*tp), offset)

    # --- acknowledging and committing: the group's offsets serve lag tools only, the store's position counts

    def ack(self, message: Any) -> bool:
        """A message is done with once it is taken in; what it holds is finished later, see `finish`."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def finish(self, batch: RecordBatch) -> None:
        """Everything that came of the batch is published: its offsets may be committed."""
        tp = TP(batch.topic, batch.partition)
        chain = self._chains.get(tp)
        if chain is not None and chain.ticket == batch.ticket:
            self._finished[tp] = max(batch.end, self._finished.get(tp, 0))
            self._acked[tp] = [batch.end]  # Faust looks here for partitions that have something to commit
            self._n_acked += 1

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp] = []
        return self._finished.get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        return

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        due = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._thread._ensure_consumer().commit(due)
        except KafkaError as error:
            log.warning("offsets not committed, a later commit will tell: %r", error)
            for tp, offset in offsets.items():
                if tp in self._finished:
                    self._acked[tp] = [offset]
            return False
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's livelock detector counts single records."""


class Transport(driver.Transport):
    """What Faust finds under the entry point."""

    Consumer = Consumer
