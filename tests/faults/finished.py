"""A finished run of one partition made in memory: what a worker that fails at nothing would have left behind."""

import itertools
from collections.abc import Sequence
from random import Random

import numpy as np

from agents.broadcasts import Book as Versions
from agents.meters import SilentMeters
from app.core import decoder, first_in_force
from app.settings import Settings
from decisions.decide import decide
from features.packing import pack
from messages.columns import Events, Source
from messages.encoding import dead_letter
from messages.inputs import USER_TOPICS
from messages.journal import journal_message
from messages.message import Message
from messages.records import RawRecords
from messages.records import Record as Kept
from replay.engine import Book
from replay.preparing import Rows
from store.contract import Header, TopicPosition
from store.projection import limit_views
from tests.faults.logs import Broadcast, Incarnation, Log, Logs, Publication, hashes
from tests.faults.stream import Record, Stream

EPOCH = "first"


class Run:
    """Works a stream off, some records at a time, and keeps its logs; one topic partition each."""

    def __init__(self, settings: Settings, arrived_ms: int, seed: int = 1) -> None:
        self._random, self._arrived_ms = Random(seed), arrived_ms
        self._decoder = decoder(settings)
        self._versions = Versions(first_in_force(settings), None, SilentMeters())
        self._book, self._rows, self._header, self._offsets = Book(), Rows(), Header(), itertools.count()
        self._position: dict[str, TopicPosition] = {topic: TopicPosition(0, EPOCH) for topic in USER_TOPICS}
        inputs: dict[Incarnation, Log] = {(topic, EPOCH): Log() for topic in USER_TOPICS}
        self.logs = Logs(0, 1, dict.fromkeys(USER_TOPICS, EPOCH), inputs)

    def work_off(self, stream: Stream, most: int = 400) -> None:
        """The whole stream in batches of random size."""
        waiting: list[Record] = []
        size = self._random.randrange(1, most)
        for record in stream:
            if record.topic in USER_TOPICS:
                waiting.append(record)
            else:
                self._broadcast(record)
            if len(waiting) >= size:
                self.batch(waiting)
                waiting, size = [], self._random.randrange(1, most)
        self.batch(waiting)

    def batch(self, records: Sequence[Record], clock: int = 0) -> None:
        """Append the records to their logs and decide them in their order."""
        begins = dict(self._position)
        places: list[tuple[str, int]] = []
        for record in records:
            log = self.logs.inputs[record.topic, begins[record.topic].epoch]
            places.append((record.topic, log.end))
            log.append(Kept(record.value, record.key, log.end, self._arrived_ms))
        events = self._events(begins, places)
        self._decide(events, clock, begins)

    def recreate(self, topic: str, epoch: str) -> None:
        """Go on with a new incarnation of the topic."""
        self._position[topic] = TopicPosition(0, epoch)
        self.logs.inputs[topic, epoch] = Log()
        self.logs.epochs[topic] = epoch

    def finish(self) -> Logs:
        """The logs, with what the store holds."""
        book, stored = self._book, self.logs.stored
        rows = np.flatnonzero(book.records["events"][: len(book.users)])
        stored.records = dict(zip((book.users[row] for row in rows.tolist()), pack(book.records[rows]), strict=True))
        stored.timers = {user: int(when) for user, when in zip(book.users, book.timers, strict=False) if when}
        stored.header, stored.position = self._header, dict(self._position)
        return self.logs

    def _events(self, begins: dict[str, TopicPosition], places: list[tuple[str, int]]) -> Events:
        parts = []
        for topic, begin in begins.items():
            log = self.logs.inputs[topic, begin.epoch]
            records = RawRecords.of(log.records(begin.next_offset, log.end))
            decoded = self._decoder.decode(Source(topic, 0, begin.epoch), records)
            self.logs.letters += [self._published(dead_letter(refusal), "id") for refusal in decoded.refused]
            parts += [decoded.events] if len(decoded.events) else []
            self._position[topic] = TopicPosition(log.end, begin.epoch)
        events = Events.concatenate(parts)
        wanted = {place: i for i, place in enumerate(places)}
        named = zip(events.source.tolist(), events.offset.tolist(), strict=True)
        keys = [wanted[events.sources[source].topic, offset] for source, offset in named]
        return events.take(np.argsort(np.array(keys, np.int64)))

    def _decide(self, events: Events, clock: int, begins: dict[str, TopicPosition]) -> None:
        book, in_force, header = self._book, self._versions.in_force, self._header
        events.columns["row"], opened = self._rows.of(events.users)
        book.open(opened)
        due = book.due(2**32 - 1)  # more than are due does no harm
        outcome = decide(book.records, events, book.users, in_force, header.watermark, clock, due)
        book.settle(outcome.touched, outcome.retired)
        versions = in_force.policy.version, in_force.market.version, in_force.model.version
        self._header = Header(outcome.watermark, clock, *versions, header.commits + 1)
        ranges = {
            topic: (begin.epoch, begin.next_offset, self._position[topic].next_offset)
            for topic, begin in begins.items()
        }
        number = self._header.commits
        entry = journal_message(0, number, clock, outcome.watermark, versions, ranges, events)
        self.logs.journal.append(entry.value)
        self.logs.published += [self._published(message, "ce_id") for message in outcome.decisions]
        for view in limit_views(outcome.decisions):
            self.logs.stored.limits[view.user] = view
            if view.forgotten:
                del self.logs.stored.limits[view.user]

    def _broadcast(self, record: Record) -> None:
        offset = len(self.logs.broadcasts)
        broadcast = Broadcast(record.topic, 0, offset, self._arrived_ms, record.key, record.value)
        self.logs.broadcasts.append(broadcast)
        self._versions.apply(broadcast)

    def _published(self, message: Message, name: str) -> Publication:
        offset, identity = next(self._offsets), dict(message.headers)[name].decode()
        return Publication(identity, message.topic, 0, offset, *hashes(message.key, message.value, message.headers))
