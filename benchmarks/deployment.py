"""A deployment of Duewatch on the servers of a benchmark: its topics, its workers as processes, what they count."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from app.embedded import child_process, free_port, stop_process
from app.exposition import Sample, fetch_samples, total
from app.kafka import create_topics
from app.settings import Settings, environment_of, load_settings
from benchmarks.book import Published
from benchmarks.processor_time import processor_seconds
from benchmarks.servers import Servers
from messages.journal import JOURNAL
from messages.outputs import DECISION_TOPICS

PROGRAM = Path(__file__).resolve().parents[1] / "app"
READY_SECONDS = STOP_SECONDS = 120.0
POLL_SECONDS = 0.2


class DeploymentFailed(Exception):
    """A worker ended or stands still; the message has the end of its log."""


@dataclass(frozen=True)
class Counted:
    """What all workers have counted by `at` (s, monotonic)."""

    at: float
    events: int
    decisions: int
    batches: int


@dataclass
class Deployment:
    """Topics with their events in one broker, and workers that can be started over them again and again."""

    servers: Servers
    partitions: int
    time_mode: str = "event"
    options: Mapping[str, Any] = field(default_factory=dict)  # settings of the workers
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    _runs: int = 0

    def settings(self, port: int = 0) -> Settings:
        """What a worker of the present run is told."""
        return load_settings(
            kafka_bootstrap=self.servers.bootstrap,
            redis_url=self.servers.redis_url,
            partitions=self.partitions,
            time_mode=self.time_mode,
            group=f"run-{self._runs}",
            session_timeout=10.0,
            hmac_key=secrets.token_hex(16),
            log_level="warning",
            http_port=port,
            **self.options,
        )

    def begin_anew(self) -> None:
        """Forget all state and everything that was decided, and keep the events."""
        self._runs += 1
        self.servers.empty_store()
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap})
        for deleted in admin.delete_topics([JOURNAL, *DECISION_TOPICS]).values():
            with contextlib.suppress(KafkaException):  # it was not there yet
                deleted.result()
        until = time.monotonic() + READY_SECONDS
        while JOURNAL in admin.list_topics(timeout=10).topics and time.monotonic() < until:
            time.sleep(0.05)
        asyncio.run(create_topics(self.settings()))

    @contextlib.contextmanager
    def running(self, workers: int = 1) -> Iterator[None]:
        """Real workers, as processes of their own."""
        try:
            for _ in range(workers):
                self.start_worker()
            yield
        finally:
            for worker in self.workers:
                stop_process(worker, STOP_SECONDS)
            self.workers.clear()
            self.ports.clear()

    def start_worker(self) -> None:
        """One more worker."""
        port = free_port()
        log = self.servers.directory / f"worker-{self._runs}-{len(self.workers)}.log"
        environment = environment_of(self.settings(port))
        self.workers.append(child_process([sys.executable, str(PROGRAM), "worker"], log, environment))
        self.ports.append(port)

    def pids(self) -> list[int]:
        """The processes of workers, broker and Redis."""
        return [*self.servers.pids.values(), *(worker.pid for worker in self.workers)]

    def processor_seconds(self) -> dict[str, float]:
        """Processor time so far of all workers together, of the broker and of Redis."""
        used = {name: processor_seconds(pid) for name, pid in self.servers.pids.items()}
        return {"workers": sum(processor_seconds(worker.pid) for worker in self.workers), **used}

    async def counted(self) -> Counted:
        """What the workers have counted. Raises DeploymentFailed where one has ended."""
        samples = [sample for of_worker in await self._samples() for sample in of_worker]
        return Counted(
            time.monotonic(),
            int(total(samples, "duewatch_events_total")),
            sum(int(total(samples, "duewatch_published_messages_total", topic=topic)) for topic in DECISION_TOPICS),
            int(total(samples, "duewatch_commits_total", result="done")),
        )

    async def _samples(self) -> list[list[Sample]]:
        """Each worker's metrics, none of one that does not listen yet. Raises DeploymentFailed where one has ended."""
        found: list[list[Sample]] = []
        for number, port in enumerate(self.ports):
            if self.workers[number].poll() is not None:
                log = self.servers.directory / f"worker-{self._runs}-{number}.log"
                raise DeploymentFailed(f"worker {number} has ended:\n{log.read_text(errors='replace')[-3000:]}")
            found.append([])
            with contextlib.suppress(aiohttp.ClientConnectionError):
                found[-1] += await fetch_samples(f"http://127.0.0.1:{port}/metrics")
        return found

    async def until(self, events: int, patience: float = READY_SECONDS) -> Counted:
        """Wait until so many events are counted. Raises DeploymentFailed where none are for `patience` seconds."""
        newest, moved = 0, time.monotonic()
        while True:
            counted = await self.counted()
            if counted.events >= events:
                return counted
            if counted.events > newest:
                newest, moved = counted.events, counted.at
            elif counted.at - moved > patience:
                raise DeploymentFailed(f"{newest:,} of {events:,} events are counted, and no more come")
            await asyncio.sleep(POLL_SECONDS)

    async def until_shared(self) -> list[float]:
        """Wait until every worker owns a partition; returns how many events each has counted by then.

        Raises DeploymentFailed where that takes too long.
        """

        def shared(samples: list[list[Sample]]) -> bool:
            owned = [total(of_worker, "duewatch_partitions_owned") for of_worker in samples]
            return all(owned) and sum(owned) == self.partitions

        return _events(await self._until(shared, "the workers do not share the partitions"))

    async def until_all_work(self) -> None:
        """Wait until every worker has counted an event of its share. Raises DeploymentFailed as others do."""
        before = await self.until_shared()

        def work(samples: list[list[Sample]]) -> bool:
            return all(counted > earlier for counted, earlier in zip(_events(samples), before, strict=True))

        await self._until(work, "not every worker has something to do")

    async def _until(self, holds: Callable[[list[list[Sample]]], bool], failure: str) -> list[list[Sample]]:
        """Wait until something holds for the workers' metrics, which are returned. Raises DeploymentFailed."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            samples = await self._samples()
            if holds(samples):
                return samples
            await asyncio.sleep(POLL_SECONDS)
        raise DeploymentFailed(failure)


def _events(samples: Iterable[list[Sample]]) -> list[float]:
    """What each worker has counted."""
    return [total(of_worker, "duewatch_events_total") for of_worker in samples]


def publish(bootstrap: str, events: Iterable[Published]) -> Counter[str]:
    """Publish events by key as fast as the broker takes them; returns how many went to each topic."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "partitioner": "murmur2_random",  # that of Java's producer
            "max.in.flight": 1,  # no batch may overtake one that is tried again
            "linger.ms": 20,
            "batch.size": 64 * 1024,
            "queue.buffering.max.messages": 200_000,
        }
    )
    counts: Counter[str] = Counter()
    for event in events:
        while True:
            try:
                producer.produce(event.topic, event.value, event.key)
                break
            except BufferError:
                producer.poll(0.05)
        counts[event.topic] += 1
        if counts[event.topic] == 1:
            producer.flush(30)  # what librdkafka takes before it knows the topic it may send out of order
    if producer.flush(120):
        raise RuntimeError("the broker did not take all events")
    return counts
