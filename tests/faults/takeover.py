"""How long a dead worker's partitions lie still: from kill -9 to the first batch of each that another one decided.

python -m tests.faults.takeover --repeat 10
"""

import argparse
import asyncio
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

import aiokafka

from app.kafka import create_topics
from app.kernels import WORKING
from app.settings import Settings
from features.kernel import compile_kernels
from messages.journal import JOURNAL
from messages.topics import ALL_TOPICS
from tests.faults.group import SCRAPE_SECONDS, Group, Worker
from tests.faults.harness import READY_SECONDS, background, settings_for, to_terminal
from tests.faults.sender import Sender
from tests.faults.stream import Stream
from tests.servers.available import CACHE
from tests.servers.kafka import KafkaCluster, jars
from tests.servers.redis import RedisServers
from tests.servers.replicas import until_in_sync

PARTITIONS, WORKERS, BROKERS, SESSION = 6, 3, 3, 6.0
RATE, START_MS, SPAN_MS = 300.0, 1_700_000_000_000, 40 * 86_400_000
#: More than the kills take.
LONGEST_SECONDS = 7_200
#: What the acceptance allows above the session time-out.
ABOVE = 2.0
#: Steady work before each kill, and how long a takeover may take at most.
STEADY_LOOKS, GIVEN_UP = 3, 60.0


@dataclass
class Takeovers:
    """Seconds by kill: of each of the victim's partitions."""

    kills: list[dict[int, float]] = field(default_factory=list)

    @property
    def worst(self) -> float:
        return max(max(kill.values()) for kill in self.kills)

    def __str__(self) -> str:
        every = [seconds for kill in self.kills for seconds in kill.values()]
        return (
            f"{len(self.kills)} kills, {len(every)} partitions taken over: median {statistics.median(every):.2f} s, "
            f"most {self.worst:.2f} s; session time-out {SESSION:.0f} s"
        )


async def measure(settings: Settings, group: Group, repeat: int, say: Callable[[str], None]) -> Takeovers:
    """Kill a worker `repeat` times under a steady stream; the group is whole again before each."""
    found, rng = Takeovers(), random.Random(1)
    async with _journal(settings) as newest:
        for number in range(repeat):
            await group.ready(READY_SECONDS)
            await _shared(group)
            victim = rng.choice([worker for worker in group.workers if _partitions(worker)])
            lost = _partitions(victim)
            killed = time.time()
            group.signal(victim, SIGKILL)
            taken = await _first_after(newest, lost, int(killed * 1000))
            found.kills.append({partition: at / 1000 - killed for partition, at in taken.items()})
            told = ", ".join(f"{p}: {seconds:.2f} s" for p, seconds in sorted(found.kills[-1].items()))
            say(f"{number + 1}. worker {victim.number} had {lost}: {told}")
    return found


async def _shared(group: Group) -> None:
    """Return when all partitions are owned, each by one worker, and have been for a while."""
    steady = 0
    async with asyncio.timeout(READY_SECONDS):
        while steady < STEADY_LOOKS:
            await asyncio.sleep(SCRAPE_SECONDS)
            owned = sorted(number for worker in group.workers for number in _partitions(worker))
            steady = steady + 1 if owned == list(range(PARTITIONS)) else 0


def _partitions(worker: Worker) -> list[int]:
    """Which a worker works on, as it told when it was last asked."""
    of = {int(sample.labels["partition"]) for sample in worker.samples if sample.name == "duewatch_lag_records"}
    return sorted(of) if worker.lives else []


async def _first_after(newest: dict[int, list[int]], partitions: list[int], since_ms: int) -> dict[int, int]:
    """When each partition's first entry after `since_ms` was made, by the clock of this machine."""
    async with asyncio.timeout(GIVEN_UP):
        while True:
            taken = {p: next((at for at in newest[p] if at > since_ms), 0) for p in partitions}
            if all(taken.values()):
                return taken
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _journal(settings: Settings) -> AsyncIterator[dict[int, list[int]]]:
    """Times of the entries that come, by partition."""
    consumer: Any = aiokafka.AIOKafkaConsumer(**settings.kafka_client_options(), enable_auto_commit=False)
    await consumer.start()
    times: dict[int, list[int]] = {number: [] for number in range(settings.partitions)}
    tps = [aiokafka.TopicPartition(JOURNAL, number) for number in times]
    consumer.assign(tps)
    await consumer.seek_to_end(*tps)

    async def read() -> None:
        async for record in consumer:
            times[record.partition].append(record.timestamp)

    try:
        async with background(read()):
            yield times
    finally:
        await consumer.stop()


async def _run(repeat: int, directory: Path) -> Takeovers:
    kafka = KafkaCluster(directory / "kafka", jars(CACHE), BROKERS)
    servers = RedisServers(directory / "redis")
    try:
        kafka.start()
        servers.start()
        compile_kernels(*WORKING)
        settings = settings_for(kafka, servers, partitions=PARTITIONS, time_mode="event")
        await create_topics(settings)
        await until_in_sync(settings.kafka_bootstrap, [spec.name for spec in ALL_TOPICS], BROKERS)
        group = Group(settings, directory, WORKERS)
        group.look_after()
        stream = Stream(1, 2_000, START_MS, int(RATE * LONGEST_SECONDS), SPAN_MS)
        sender = Sender(settings.kafka_bootstrap, stream, RATE)
        try:
            async with background(group.supervise()), background(sender.run()):
                return await measure(settings, group, repeat, to_terminal)
        finally:
            group.close()
    finally:
        servers.close()
        kafka.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.takeover", description=__doc__)
    parser.add_argument("--repeat", type=int, default=10, help="how often a worker is killed")
    repeat = parser.parse_args().repeat
    directory = Path(tempfile.mkdtemp(prefix="takeover-"))
    logging.basicConfig(filename=directory / "harness.log", level=logging.WARNING, format="%(asctime)s %(message)s")
    to_terminal(f"logs: {directory}")
    found = asyncio.run(_run(repeat, directory))
    to_terminal(str(found))
    return int(found.worst > SESSION + ABOVE)


if __name__ == "__main__":
    sys.exit(main())
