"""A running group of workers on the embedded broker and store, what is sent to it, and what became of that."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiokafka
import numpy as np
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.broker import group_state
from app.settings import load_settings
from features.record import RECORD
from messages.inputs import USER_TOPICS
from messages.topics import ALL_TOPICS
from store.redis import RedisAddress, RedisStore
from tests.agents.worker_process import client_id

START_MS = 1_700_000_000_000
ROOT = Path(__file__).parents[2]


def event(topic: str, user: str, number: int, at_ms: int) -> bytes:
    """The bytes of an acceptable event of one of three topics."""
    fields: dict[str, Any] = {"event_id": f"{topic}-{user}-{number}", "user_id": user, "time": at_ms}
    if topic == "purchases":
        fields |= {"type": "purchase", "order_id": f"o{number}", "amount": 100, "currency": "CNY"}
        fields |= {"category": "groceries", "merchant_id": "m1"}
    elif topic == "repayments":
        fields |= {"type": "repayment", "repayment_id": f"r{number}", "amount": 100, "currency": "CNY"}
    else:
        fields |= {"type": "login"}
    return json.dumps(fields).encode()


@dataclass
class Cluster:
    """Topics, workers and books of one test; `name` is the group."""

    kafka: str
    redis: str
    name: str
    directory: Path
    partitions: int = 4
    embedded_broker: bool = False  # whether the broker is the embedded one
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)  # events by user
    started: int = 0
    producer: Any = None

    def start_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """One more worker process."""
        self.started += 1
        values = {"GROUP": self.name, "KAFKA": self.kafka, "REDIS": self.redis, **environment}
        with (self.directory / f"worker-{self.started}.log").open("wb") as out:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.agents.worker_process"],
                cwd=ROOT,
                env=os.environ | values,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    async def end_worker(self, worker: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        """Signal a worker and wait for its end; its exit code."""
        worker.send_signal(number)
        self.workers.remove(worker)
        return await asyncio.to_thread(worker.wait, 40)

    async def formed(self, seconds: float) -> None:
        """Wait until the group consists of its running workers and nobody else; fails after `seconds`.

        How many they are would not do: a killed worker is a member until its session ends, and may be counted for
        one that has not joined yet.
        """
        settings = load_settings(kafka_bootstrap=self.kafka, group=self.name)
        async with asyncio.timeout(seconds):
            while True:
                group = await group_state(settings)
                running = {client_id(worker.pid) for worker in self.workers}
                members = {member.rsplit("-", 5)[0] for member in group.members}  # a UUID has five parts
                if group.state == "Stable" and members == running:
                    return
                await asyncio.sleep(0.1)

    async def send(self, topic: str, user: str, number: int, at_ms: int) -> None:
        """Publish one event of a user."""
        self.sent[user] += 1
        await self.producer.send(topic, event(topic, user, number, at_ms), key=user.encode())

    def store(self) -> RedisStore:
        """The workers' store."""
        return RedisStore(RedisAddress.from_url(self.redis))

    async def applied(self, users: Iterable[str]) -> Counter[str]:
        """Events applied by user, as the stored records say."""
        store, found = self.store(), Counter[str]()
        wanted = list(users)
        for number in range(self.partitions):
            view = store.partition(number)
            for user, blob in zip(wanted, await view.load(wanted), strict=True):
                if blob is not None:
                    found[user] += int(np.frombuffer(blob, RECORD)[0]["events"])
            await view.close()
        await store.close()
        return found

    async def settled(self, seconds: float) -> Counter[str]:
        """Applied events by user, once as many are applied as were sent; fails after `seconds`."""
        async with asyncio.timeout(seconds):
            while True:
                applied = await self.applied(self.sent)
                if applied.total() >= self.sent.total():
                    return applied
                dead = [worker.returncode for worker in self.workers if worker.poll() is not None]
                assert not dead, f"workers ended with {dead}: see {self.directory}"
                await asyncio.sleep(0.3)

    @staticmethod
    async def _at_end(consumer: Any, tp: Any) -> bool:
        # The embedded broker's list of offsets is wrong, what a fetch tells is right.
        return consumer.highwater(tp) is not None and await consumer.position(tp) >= consumer.highwater(tp)

    async def read(self, topic: str) -> list[Any]:
        """All records of a topic."""
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [aiokafka.TopicPartition(topic, number) for number in range(self.partitions)]
            consumer.assign(tps)
            for tp in tps:
                consumer.seek(tp, 0)
            records: list[Any] = []
            while not all([await self._at_end(consumer, tp) for tp in tps]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
            return records
        finally:
            await consumer.stop()


async def create_topics(kafka: str, partitions: int, **unlike: int) -> None:
    """All topics, where they are missing; those in `unlike` with another number of partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        counts = {spec.name: unlike.get(spec.name, spec.partition_count(partitions)) for spec in ALL_TOPICS}
        await admin.create_topics([NewTopic(name, count, 1) for name, count in counts.items()])
    finally:
        await admin.close()


@contextlib.asynccontextmanager
async def cluster(
    kafka: str, redis: str, name: str, directory: Path, *, embedded: bool = False
) -> AsyncIterator[Cluster]:
    """A group without workers yet, its producer started."""
    group = Cluster(kafka, redis, name, directory, embedded_broker=embedded)
    await create_topics(kafka, group.partitions)
    group.producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=2)
    await group.producer.start()
    try:
        yield group
    finally:
        for worker in [*group.workers, *group.ended]:
            worker.kill()
            worker.wait()
        await group.producer.stop()


def published_once(records: Iterable[Any]) -> dict[bytes, bytes]:
    """Value by id; fails where one id came with different bytes."""
    found: dict[bytes, bytes] = {}
    for record in records:
        identity = dict(record.headers)["ce_id"]
        assert found.setdefault(identity, record.value) == record.value, f"{identity!r} came with other bytes"
    return found


__all__ = ["START_MS", "USER_TOPICS", "Cluster", "cluster", "event", "published_once"]
