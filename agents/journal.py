"""Reading the journal, and the records of its batches: what the store has forgotten is decided again as it was.

Redis may come back older than it was. Its position then lies before batches whose decisions were published already.
Read again as new, their events might interleave in another way and lead to other decisions under the same ids.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import aiokafka
import numpy as np
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from agents.alignment import Batch
from agents.meters import Meters
from agents.patience import Backoff
from agents.ports import Decoder
from agents.reading import read_whole, topic_partitions
from messages.columns import Events, Source
from messages.journal import JOURNAL, JournalEntry, journal_entry
from messages.records import RawRecords
from store.contract import TopicPosition

log = logging.getLogger(__name__)

POLL_MS = 200
#: A broker keeps a fetch at the end of a log waiting for so long; a new owner's partition waits along.
WAIT_MS = 20
#: Records taken from one topic at once, so that a long journal does not fill the memory.
MOST_RECORDS = 8_000
#: How often the end of a log is looked at that seems to be before what was read of it: a new leader may be behind.
END_LOOKS = 25


class JournalBroken(Exception):
    """Batches that the store has forgotten cannot be decided again as they were; the message says why."""


def lost_entries(
    entries: Sequence[JournalEntry], number: int, position: Mapping[str, TopicPosition]
) -> list[JournalEntry]:
    """Those of `entries` that follow on a store after batch `number` with this position, in their order.

    Entries may repeat themselves. What does not join on ends the list.
    """
    by_number = {entry.number: entry for entry in reversed(entries)}
    lost: list[JournalEntry] = []
    known = dict(position)
    while entry := by_number.get(number + len(lost) + 1):
        begins = {piece.topic: TopicPosition(piece.begin, piece.epoch) for piece in entry.topics}
        if known and begins != known and not entry.reset:
            break
        known = {piece.topic: TopicPosition(piece.end, piece.epoch) for piece in entry.topics}
        lost.append(entry)
    return lost


def decoded_batch(entry: JournalEntry, records: Mapping[str, Sequence[Any]], decoder: Decoder) -> Batch:
    """The batch of an entry, its events in the order in which they were decided.

    Raises:
        JournalBroken: the records do not make as many events as were decided.
    """
    taken, parts = np.frombuffer(entry.order.encode(), np.uint8) - ord("0"), []
    for index, piece in enumerate(entry.topics):
        if records.get(piece.topic):
            source = Source(piece.topic, entry.partition, piece.epoch)
            events = decoder.decode(source, RawRecords.of(records[piece.topic])).events
        else:
            events = Events.empty()
        if len(events) != np.count_nonzero(taken == index):
            raise JournalBroken(
                f"{piece.topic}[{entry.partition}]: {len(events)} events in {piece.begin} to {piece.end}"
            )
        parts += [events] if len(events) else []
    # Events lie topic by topic; in each topic they are in their order.
    places = np.argsort(np.argsort(taken, kind="stable"), kind="stable")
    positions = {piece.topic: piece.end for piece in entry.topics}
    return Batch(Events.concatenate(parts).take(places), [], positions)


class KafkaJournal:
    """The journal in Kafka, read outside of the group; `options` are those of every aiokafka client of the deployment.

    One consumer serves all partitions of a worker, one after the other; it is made when first needed.
    """

    def __init__(self, options: Mapping[str, Any], meters: Meters) -> None:
        self._options, self._meters = options, meters
        self._consumer: Any = None
        self._turn = asyncio.Lock()

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def entries(self, partition: int, since: int) -> list[JournalEntry]:
        """All entries of a partition from offset `since` of its journal on; tried until the broker answers."""
        backoff = Backoff()
        while True:
            async with self._turn:
                try:
                    return await self._entries(aiokafka.TopicPartition(JOURNAL, partition), since)
                except KafkaError as error:
                    log.warning("the journal cannot be read, trying again: %r", error)
                    self._meters.retried("broker")
                    await self.stop()
            await backoff.wait()

    async def records(
        self, partition: int, entries: Sequence[JournalEntry]
    ) -> AsyncGenerator[tuple[JournalEntry, dict[str, list[Any]]], None]:
        """Each of `entries`, which follow on each other, with its records by topic.

        Raises JournalBroken where some of them are no longer in their topic, and KafkaError.
        """
        async with aiokafka.AIOKafkaConsumer(**self._options, enable_auto_commit=False) as consumer:
            begins = {aiokafka.TopicPartition(piece.topic, partition): piece.begin for piece in entries[0].topics}
            consumer.assign(list(begins))
            for tp, first in (await consumer.beginning_offsets(list(begins))).items():
                if first > begins[tp]:
                    raise JournalBroken(f"{tp.topic}[{partition}]: offsets {begins[tp]} to {first - 1} were deleted")
                consumer.seek(tp, begins[tp])
            waiting: dict[Any, list[Any]] = {tp: [] for tp in begins}
            for entry in entries:
                if entry.reset:
                    for piece in entry.topics:
                        consumer.seek(aiokafka.TopicPartition(piece.topic, partition), piece.begin)
                    waiting = {tp: [] for tp in begins}
                found = {}
                for piece in entry.topics:
                    tp = aiokafka.TopicPartition(piece.topic, partition)
                    await _fill(consumer, tp, waiting[tp], piece.end)
                    found[piece.topic] = list(takewhile(partial(_is_before, piece.end), waiting[tp]))
                    del waiting[tp][: len(found[piece.topic])]
                yield entry, found

    async def _entries(self, tp: Any, since: int) -> list[JournalEntry]:
        if self._consumer is None:
            self._consumer = aiokafka.AIOKafkaConsumer(
                **self._options, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=WAIT_MS
            )
            await self._consumer.start()
            await topic_partitions(self._consumer, [JOURNAL])  # it must be there
        consumer = self._consumer
        consumer.assign([tp])
        first = (await consumer.beginning_offsets([tp]))[tp]
        consumer.seek(tp, max(first, since))
        entries: list[JournalEntry] = []
        while not await read_whole(consumer, [tp]):
            for record in (await consumer.getmany(timeout_ms=POLL_MS)).get(tp, ()):
                try:
                    entries.append(journal_entry(record.value))
                except ValidationError as error:
                    log.error("%s[%d], offset %d: not an entry: %s", *tp, record.offset, error)
        return entries


def _is_before(end: int, record: Any) -> bool:
    return bool(record.offset < end)


async def _fill(consumer: Any, tp: Any, waiting: list[Any], end: int) -> None:
    """Fetch until everything before `end` is in `waiting`; offsets without records count as read."""
    looks = END_LOOKS
    while await consumer.position(tp) < end:
        found = (await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=MOST_RECORDS)).get(tp, [])
        waiting += found
        looks = looks - 1 if not found and await read_whole(consumer, [tp]) else END_LOOKS
        if not looks:
            raise JournalBroken(f"{tp.topic}[{tp.partition}]: ends before offset {end}, up to which it was decided")
