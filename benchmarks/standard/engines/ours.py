"""Our worker, the real one: `app.worker.run_worker`, with the standard job in the place of the product's decisions.

Guarantee: every event is applied exactly once. Records, positions and warnings are committed to Redis in one step, in
front of every warning goes the batch's journal entry, and warnings are published with acks=all, at least once and with
the same bytes. How durable that is Redis decides (here: an append-only file, flushed every second; what it loses Kafka
replays).

Replaced are the decoder, the pure function, the layout of a record, and where policies come from. Faust, transport,
alignment of the eight topics (seven are empty), residents, journal, commit, outbox and publishing are the product's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.health import Health
from app.settings import Settings
from app.worker import run_worker
from benchmarks.standard import columns, job
from benchmarks.standard.scanning import scanned
from benchmarks.standard.task import Stopwatch, this_task
from decisions.work import Work
from messages.columns import Events, Excerpt, Source
from messages.decoding import Decoded
from messages.machine_code import finish
from messages.message import Message
from messages.records import RawRecords, Slices
from messages.texts import Texts
from messages.words import PADDING
from store.residents import Layout, Residents
from telemetry.meters import PrometheusMeters
from telemetry.metrics import Registry

#: Up to so many events of each of four partitions are decided at once while there is a backlog.
BATCH = 32_000
LAYOUT = Layout(columns.RECORD, columns.pack, columns.unpack, columns.begin)


class Decoder:
    """Records of purchases to columns."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._merchants = columns.Merchants()

    def decode(self, source: Source, records: RawRecords) -> Decoded:
        """Columns of all records; one that is no purchase ends the worker."""
        self._stopwatch.begin()
        return Decoded(Excerpt.of(self._events(source, records)), [])

    def decode_each(self, batches: Sequence[tuple[Source, RawRecords]]) -> list[Decoded]:
        """The same of each of several batches."""
        return [self.decode(source, records) for source, records in batches]

    def _events(self, source: Source, records: RawRecords) -> Events:
        return self._plain(source, records) or self._any(source, records)

    def _plain(self, source: Source, records: RawRecords) -> Events | None:
        """All records where the scanner is sure of each."""
        values = records.values
        if not isinstance(values, Slices):
            return None
        text = values.buffer + PADDING
        found = scanned(text, values.starts, values.starts + values.lengths)
        if found is None:
            return None
        columns_, (users, ids) = found
        return Events(
            columns=columns_,
            users=Texts((text,), users),
            ids=Texts((text,), ids),
            references=Texts((text,), np.zeros(len(users), np.uint64)),
            sources=(source,),
            source=np.zeros(len(users), np.uint16),
            offset=records.offsets,
            arrived=records.timestamps,
        )

    def _any(self, source: Source, records: RawRecords) -> Events:
        decode: Any = job.decode_purchase
        purchases: list[job.Purchase] = list(map(decode, records.values))
        count = len(purchases)
        found = np.empty(count, columns.EVENT)
        found["amount"] = [purchase.amount for purchase in purchases]
        found["time"] = [purchase.ts for purchase in purchases]
        found["merchant"] = list(map(self._merchants.__getitem__, [purchase.merchant for purchase in purchases]))
        return Events(
            columns=found,
            users=[purchase.user_id for purchase in purchases],
            ids=[purchase.event_id for purchase in purchases],
            references=[""] * count,
            sources=(source,),
            source=np.zeros(count, np.uint16),
            offset=records.offsets,
            arrived=records.timestamps,
        )


@dataclass
class Outcome:
    """What a batch led to; members as in `agents.ports.Outcome`."""

    touched: NDArray[np.uint32]
    decisions: list[Message]
    watermark: int
    disposition: NDArray[np.uint8]
    caused: NDArray[np.int32]
    retired: Sequence[int] = ()
    counts: dict[Any, int] = field(default_factory=dict)


def decide_each(topic: str, works: Sequence[Work], _in_force: Any) -> list[Outcome]:
    """Decide the work of several partitions."""
    return [decide(topic, work.records, work.events, work.users, work.watermark) for work in works]


def decide(topic: str, records: NDArray[np.void], events: Events, users: Sequence[str], watermark: int) -> Outcome:
    """Advance the records and publish to `topic` what is to be warned of."""
    found = events.columns
    features, scores = columns.advance(records, found)
    hits = np.flatnonzero(features[:, 0] > job.LIMIT)
    decisions = []
    for index in hits.tolist():
        user = users[found["row"][index]]
        warned = job.Warned(events.ids[index], user, float(scores[index]), features[index].tolist())
        decisions.append(Message(topic, user.encode(), job.encode_warning(warned)))
    newest = int(found["time"].max()) if len(found) else 0
    touched = np.unique(found["row"])
    caused = hits.astype(np.int32)
    return Outcome(touched, decisions, max(watermark, newest), np.ones(len(found), np.uint8), caused)


class Versions:
    """Policy, market and model that never change."""

    def __init__(self, health: Health) -> None:
        self._health = health
        terms = SimpleNamespace(allowed_lateness=0)
        version = SimpleNamespace(version="standard@1")
        self._now = SimpleNamespace(
            policy=SimpleNamespace(version="standard@1", terms=terms), market=version, model=version
        )

    async def start(self) -> None:
        """There is nothing to read."""
        self._health.broadcasts_read = True

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def read(self) -> None:
        """Everything is read."""

    def in_force(self) -> Any:
        """What the next batch takes."""
        return self._now

    async def recall(self, _policy: str, _market: str, _model: str) -> Any:
        """What was in force."""
        return self._now


class Meters(PrometheusMeters):
    """The product's own, which also stop the watch."""

    def __init__(self, registry: Registry, stopwatch: Stopwatch) -> None:
        super().__init__(registry)
        self._stopwatch = stopwatch

    def committed(self, events: int, duplicates: int, timers: int, seconds: float) -> None:
        """A batch is committed, and its warnings are published."""
        super().committed(events, duplicates, timers, seconds)
        self._stopwatch.finished(events)


def main() -> None:
    task = this_task()
    columns.compile_kernel()
    finish(["benchmarks.standard.scanning"])
    stopwatch, health = Stopwatch(task.events), Health()
    settings = Settings(
        kafka_bootstrap=task.bootstrap,
        redis_url=task.redis_url,
        group=task.group,
        partitions=task.partitions,
        batch_size=int(task.options.get("batch", BATCH)),
        residents=2 * task.users,  # all of them, however they are spread over the partitions
        http_port=0,
        log_level="warning",
        session_timeout=6,
    )
    run_worker(
        settings,
        decoder=Decoder(stopwatch),
        decide=partial(decide_each, task.warnings),
        residents=partial(Residents, layout=LAYOUT),
        broadcasts=Versions(health),
        health=health,
        meters=Meters(Registry(), stopwatch),
    )


if __name__ == "__main__":
    main()
