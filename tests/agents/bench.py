"""One partition on a log in memory: the real partition, inbox, decoder and memory store, without Kafka."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from agents.alignment import FOREVER
from agents.monitor import deliver
from agents.partition import Partition
from agents.rounds import Rounds
from agents.transport import RecordBatch
from messages.inputs import USER_TOPICS
from messages.journal import JOURNAL, JournalEntry, journal_entry
from messages.message import Message
from messages.records import RawRecords, Record
from store.contract import Store
from tests.agents.cluster import START_MS, event
from tests.agents.standins import deps

EPOCH = "one"


class Killed(BaseException):
    """The process ends here."""


class Published:
    """A publisher that remembers, and the journal that it keeps."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.published: Callable[[], object] = lambda: None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def publish(self, messages: Sequence[Message], partition: int | None = None) -> None:
        self.messages.extend(messages)
        self.published()

    async def record(self, entry: Message, partition: int) -> int:
        self.messages.append(entry)
        return len(self.of(JOURNAL)) - 1

    def of(self, topic: str) -> list[Message]:
        return [message for message in self.messages if message.topic == topic]


class Bench:
    """A log per topic, and owners of partition 0 that come and go."""

    def __init__(self, store: Store, **changes: Any) -> None:
        self.store, self.changes = store, changes
        self.records_of: dict[str, list[Record]] = {topic: [] for topic in USER_TOPICS}
        self.published = Published()
        self.failures: list[BaseException] = []
        self.first = dict.fromkeys(USER_TOPICS, 0)

    def send(self, topic: str, user: str, number: int, second: int) -> None:
        log = self.records_of[topic]
        at_ms = START_MS + second * 1000
        log.append(Record(event(topic, user, number, at_ms), user.encode(), len(log), at_ms))

    def send_bytes(self, topic: str, value: bytes) -> None:
        self.records_of[topic].append(Record(value, b"u1", len(self.records_of[topic])))

    # --- the journal's side

    async def entries(self, partition: int, since: int) -> list[JournalEntry]:
        return [journal_entry(message.value) for message in self.published.of(JOURNAL)[since:]]

    async def records(
        self, partition: int, entries: Sequence[JournalEntry]
    ) -> AsyncGenerator[tuple[JournalEntry, dict[str, list[Any]]], None]:
        for entry in entries:
            yield entry, {piece.topic: self.records_of[piece.topic][piece.begin : piece.end] for piece in entry.topics}

    # --- the test's side

    def owner(self, **changes: Any) -> "Owner":
        return Owner(self, {"publisher": self.published, "journal": self, **self.changes, **changes})


class Owner:
    """A worker that owns partition 0, and the transport that feeds it."""

    def __init__(self, bench: Bench, changes: Mapping[str, Any]) -> None:
        self._bench = bench
        self.acknowledged: list[str] = []
        self._next: dict[str, int] = {}
        self._ticket = 0
        self._moved = asyncio.Event()
        bench.published.published = self._moved.set
        self.deps = deps(bench.store, {}, tick_seconds=0.01, **changes)
        self.partition = Partition(0, self.deps, self, self, Rounds(self.deps.decide, self.nudge), self._fail)
        self.task = asyncio.create_task(self.partition.live())

    def _fail(self, error: BaseException) -> None:
        self._bench.failures.append(error)
        self.partition.stop()
        self._moved.set()

    # --- the transport's side

    async def epochs(self, topics: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(topics, EPOCH)

    async def bounds(self, *_: Any) -> dict[str, tuple[int, int]]:
        return {topic: (self._bench.first[topic], len(log)) for topic, log in self._bench.records_of.items()}

    async def end_beyond(self, topic: str, partition: int, offset: int) -> int:
        return len(self._bench.records_of[topic])

    async def begin(self, partition: int, offsets: Mapping[str, int]) -> int:
        self._ticket += 1
        self._next = dict(offsets)
        asyncio.get_running_loop().call_soon(self.feed)
        return self._ticket

    def end(self, partition: int) -> None:
        self._next = {}

    def unread(self, topic: str, partition: int, taken: int) -> int:
        return len(self._bench.records_of[topic]) - taken

    def seen_ms(self, topic: str, partition: int) -> int:
        return FOREVER

    def nudge(self) -> None:
        pass

    def feed(self) -> None:
        """Hand over everything that is in the logs."""
        batches = []
        for topic, start in self._next.items():
            records = self._bench.records_of[topic][start:]
            if records:
                batches.append(RecordBatch(topic, 0, start, start + len(records), RawRecords.of(records), self._ticket))
                self._next[topic] = batches[-1].end
        deliver(batches, {0: self.partition}, self.deps.decoder, self.deps.meters)

    def finish(self, batch: RecordBatch) -> None:
        self.acknowledged.append(f"{batch.topic}/{batch.end}")
        self._moved.set()

    # --- the test's side

    async def until(self, done: Callable[[], bool]) -> None:
        """Return once `done()`, looked at whenever something is acknowledged or fails."""
        async with asyncio.timeout(10):
            while not done():
                self._moved.clear()
                waiting = asyncio.ensure_future(self._moved.wait())
                await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self.task.done():
                    return

    async def finished(self) -> None:
        """Return once everything that was handed over is acknowledged, or the owner has ended."""
        wanted = {f"{topic}/{len(log)}" for topic, log in self._bench.records_of.items() if log}
        await self.until(lambda: wanted <= set(self.acknowledged))

    async def stop(self) -> None:
        """The partition is taken away."""
        self.partition.stop()
        await self.task

    async def died(self) -> None:
        """Wait for the death of the process."""
        try:
            await self.task
        except Killed:
            return
        raise AssertionError("it lives on")
