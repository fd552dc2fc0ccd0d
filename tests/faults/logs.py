"""Everything that one partition left behind, as plain values: its logs, what was published, what the store holds."""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

import aiokafka

from agents.broadcasts import TOPICS as BROADCASTS
from app.broker import topic_epochs
from app.kafka import POLL_MS, partition_of, started
from app.settings import Settings
from messages.inputs import USER_TOPICS
from messages.journal import JOURNAL
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, TRAINING_EXAMPLES
from messages.records import Record
from store.contract import Header, LimitView, TopicPosition
from store.redis import RedisPartition, RedisStore

#: Identity of a topic's incarnation: its name and epoch.
Incarnation = tuple[str, str]
_LOADED_AT_ONCE = 1_000


class Kept(Protocol):
    """What is kept of a record of a log; aiokafka's ConsumerRecord has it all."""

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...


class Log:
    """One partition of one incarnation of a topic, packed: millions of records as objects would not fit."""

    def __init__(self, begin: int = 0, records: Iterable[Kept] = ()) -> None:
        self.begin = self.end = begin
        self._offsets, self._timestamps = array("q"), array("q")
        self._ends, self._bytes = array("q", [0]), bytearray()  # of keys and values in turn
        self._nulls: set[int] = set()
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, record: Kept) -> None:
        """Add the next record; its offset is at least `end`."""
        if record.offset < self.end:
            raise ValueError(f"offset {record.offset} comes after {self.end - 1}")
        for part in (record.key, record.value):
            if part is None:
                self._nulls.add(len(self._ends))
            else:
                self._bytes += part
            self._ends.append(len(self._bytes))
        self._offsets.append(record.offset)
        self._timestamps.append(record.timestamp)
        self.end = record.offset + 1

    def records(self, begin: int, end: int) -> list[Record]:
        """Those with offsets from `begin` up to, not including, `end`."""
        first, last = bisect_left(self._offsets, begin), bisect_left(self._offsets, end)
        return [
            Record(self._part(2 * i + 2), self._part(2 * i + 1), self._offsets[i], self._timestamps[i])
            for i in range(first, last)
        ]

    def _part(self, number: int) -> bytes | None:
        if number in self._nulls:
            return None
        return bytes(self._bytes[self._ends[number - 1] : self._ends[number]])


@dataclass(frozen=True, slots=True)
class Publication:
    """One message of an output topic: where it lies, and hashes of what it says."""

    id: str
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: bytes


def hashes(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> tuple[bytes, bytes, bytes]:
    """Hashes of the three parts of a message."""
    return _hash(key or b""), _hash(value or b""), _hash(repr([(name, bytes(text)) for name, text in headers]).encode())


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=8).digest()


@dataclass(slots=True)
class Stored:
    """What the store holds of a partition. `timers` are those of its sorted set, in seconds."""

    header: Header = field(default_factory=Header)
    position: Mapping[str, TopicPosition] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    limits: dict[str, LimitView] = field(default_factory=dict)


@dataclass(slots=True)
class Broadcast:
    """A record of a topic that every worker reads whole."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Logs:
    """One partition across all topics. `epochs` are the identities of the input topics as they are now.

    `published` holds the decisions and `letters` the dead letters of this partition's records, wherever they lie.
    """

    partition: int
    partitions: int
    epochs: dict[str, str]
    inputs: dict[Incarnation, Log] = field(default_factory=dict)
    journal: list[bytes] = field(default_factory=list)
    broadcasts: list[Broadcast] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    letters: list[Publication] = field(default_factory=list)
    stored: Stored = field(default_factory=Stored)


async def read_logs(settings: Settings, partition: int, saved: Mapping[Incarnation, Log] | None = None) -> Logs:
    """Read everything of one partition; the workers have stopped, or have nothing left to do.

    `saved` are logs of incarnations that no longer exist. Raises KafkaUnavailable, StoreUnavailable and CorruptState.
    """
    epochs = await topic_epochs(settings, list(USER_TOPICS))
    logs = Logs(partition, settings.partitions, epochs)
    logs.inputs = {(topic, epoch): Log() for topic, epoch in epochs.items()} | dict(saved or {})
    logs.inputs |= {(topic, epochs[topic]): Log() for topic in epochs}
    keys: set[bytes | None] = set()
    async for found, begin, end, records in _fetched(settings, _places(settings, partition)):
        if found.topic in epochs:
            log = logs.inputs[found.topic, epochs[found.topic]]
            if not len(log):
                log.begin = log.end = begin
            for record in records:
                log.append(record)
            keys.update(record.key for record in records)
            log.end = max(log.end, end)
        else:
            _keep(logs, found.topic, records)
    known = {(key or b"").decode(errors="replace") for key in keys}
    logs.stored = await read_stored(settings, partition, known)
    return logs


def _places(settings: Settings, partition: int) -> list[tuple[str, int]]:
    own = [*USER_TOPICS, JOURNAL, *DECISION_TOPICS]
    places = [(topic, 0 if topic == TRAINING_EXAMPLES else partition) for topic in own]
    places += [(topic, 0) for topic in BROADCASTS]
    # A dead letter lies where its own key leads, which may be a wrong one.
    return places + [(DEAD_LETTERS, number) for number in range(settings.partitions)]


def _keep(logs: Logs, topic: str, records: Sequence[Any]) -> None:
    if topic == JOURNAL:
        logs.journal += [record.value for record in records]
    elif topic in BROADCASTS:
        logs.broadcasts += [Broadcast(topic, r.partition, r.offset, r.timestamp, r.key, r.value) for r in records]
    elif topic == DEAD_LETTERS:
        number = str(logs.partition).encode()
        logs.letters += [publication(r) for r in records if dict(r.headers).get("partition") == number]
    elif topic == TRAINING_EXAMPLES:
        mine = [r for r in records if partition_of(r.key.decode(), logs.partitions) == logs.partition]
        logs.published += map(publication, mine)
    else:
        logs.published += map(publication, records)


def publication(record: Any) -> Publication:
    """What is kept of a record of an output topic."""
    headers: dict[str, bytes] = dict(record.headers)
    identity = headers.get("ce_id", headers.get("id", b"")).decode()
    return Publication(
        identity, record.topic, record.partition, record.offset, *hashes(record.key, record.value, record.headers)
    )


async def _fetched(
    settings: Settings, places: Sequence[tuple[str, int]]
) -> AsyncIterator[tuple[aiokafka.TopicPartition, int, int, list[Any]]]:
    """Partition, begin and end of its log as the newest fetch tells, and the next records, until all is read."""
    consumer = aiokafka.AIOKafkaConsumer(
        **settings.kafka_client_options(), enable_auto_commit=False, fetch_max_wait_ms=POLL_MS
    )
    async with started(consumer, settings):
        partitions = [aiokafka.TopicPartition(*place) for place in places]
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        for partition, begin in begins.items():
            consumer.seek(partition, begin)
        # Told once also for empty logs, whose begin and end matter as well.
        unread = set(partitions)
        while unread:
            for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                yield partition, begins[partition], records[-1].offset + 1, records
            for partition in tuple(unread):
                end = consumer.highwater(partition)
                if end is not None and await consumer.position(partition) >= end:
                    unread.discard(partition)
                    yield partition, begins[partition], end, []


async def read_stored(settings: Settings, partition: int, known: Iterable[str] = ()) -> Stored:
    """What Redis holds of a partition, and the limits projected for its users and those `known` from elsewhere."""
    store = RedisStore(settings.redis_address())
    view = store.partition(partition)
    try:
        opened = await view.open()
        users = sorted([user async for user in view.users()])
        stored = Stored(opened.header, opened.position)
        for start in range(0, len(users), _LOADED_AT_ONCE):
            chunk = users[start : start + _LOADED_AT_ONCE]
            for user, record in zip(chunk, await view.load(chunk), strict=True):
                if record is not None:
                    stored.records[user] = record
        stored.timers = await _timers(view)
        for user in {*users, *known}:
            limit = await store.limit_of(user)
            if limit is not None:
                stored.limits[user] = limit
    finally:
        await view.close()
        await store.close()
    return stored


async def _timers(view: RedisPartition) -> dict[str, int]:
    (found,) = await view._ask((b"ZRANGE", view._timers_key, b"0", b"-1", b"WITHSCORES"))
    return {user.decode(): int(float(score)) for user, score in zip(found[::2], found[1::2], strict=True)}


def sampled(user: str, share: float) -> bool:
    """Whether the user is in a sample of about this share of all, the same one every time."""
    return zlib.crc32(user.encode()) < share * 2**32
