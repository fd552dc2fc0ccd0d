"""A real worker whose broker and store come and go: /readyz says which one is away, and nothing has to be restarted."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import aiokafka
import pytest

from app.embedded import child_process, free_port, stop_process
from app.exposition import fetch_samples, total
from tests.agents.cluster import create_topics, event
from tests.servers.available import kafka_libraries, redis_server
from tests.servers.kafka import KafkaCluster
from tests.servers.redis import RedisNode

pytestmark = [pytest.mark.kafka, pytest.mark.redis_server, pytest.mark.slow]

NO_BROKER, NO_STORE = "no broker answers", "the store is unavailable"


@dataclass
class Deployment:
    """One worker, and the servers that it needs."""

    kafka: KafkaCluster
    redis: RedisNode
    worker: subprocess.Popen[bytes]
    port: int

    async def answer(self, path: str) -> tuple[int, str]:
        """Status and text; 0 where it does not listen yet."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as response,
            ):
                return response.status, await response.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def until(self, status: int, reason: str = "") -> None:
        """Return once /readyz answers so, while /healthz stays well."""
        found = (0, "")
        try:
            async with asyncio.timeout(60):
                while found[0] != status or reason not in found[1]:
                    await asyncio.sleep(0.2)
                    found = await self.answer("/readyz")
                    assert self.worker.poll() is None, f"the worker ended with {self.worker.returncode}"
        except TimeoutError:
            raise AssertionError(f"/readyz answers {found}, not {status} {reason}") from None
        assert (await self.answer("/healthz"))[0] == 200

    async def send(self, number: int) -> None:
        """Publish one purchase."""
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait("purchases", event("purchases", "u1", number, 1_767_225_600_000), key=b"u1")
        finally:
            await producer.stop()

    async def applied(self, events: int) -> None:
        """Return once so many events are applied."""
        async with asyncio.timeout(60):
            found = 0.0
            while found < events:
                await asyncio.sleep(0.2)
                found = total(await fetch_samples(f"http://127.0.0.1:{self.port}/metrics"), "duewatch_events_total")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A worker that was started before its servers."""
    redis_server()
    kafka, redis, port = KafkaCluster(tmp_path / "kafka", kafka_libraries()), RedisNode(tmp_path / "redis"), free_port()
    command = [sys.executable, "-m", "app", "worker", "--kafka", kafka.bootstrap, "--http-port", str(port)]
    command += ["--redis", f"redis://127.0.0.1:{redis.port}/0"]
    worker = child_process(command, tmp_path / "worker.log", os.environ | {"DUEWATCH_SESSION_TIMEOUT": "6"})
    try:
        yield Deployment(kafka, redis, worker, port)
    finally:
        stop_process(worker, 40)
        kafka.stop()
        redis.close()


async def test_a_worker_waits_for_its_servers_and_says_which_one_is_away(deployment: Deployment) -> None:
    await deployment.until(503, NO_BROKER)
    deployment.kafka.start()
    await create_topics(deployment.kafka.bootstrap, 2)
    await deployment.until(503, NO_STORE)
    deployment.redis.start()
    await deployment.until(200)
    await deployment.send(1)
    await deployment.applied(1)

    deployment.redis.shut_down()
    await deployment.until(503, NO_STORE)
    await deployment.send(2)
    deployment.redis.start()
    await deployment.until(200)
    await deployment.applied(2)

    deployment.kafka.stop_broker(0, kill=True)
    await deployment.until(503, NO_BROKER)
    deployment.kafka.start_broker(0)
    await deployment.until(200)
    await deployment.send(3)
    await deployment.applied(3)


async def test_a_worker_whose_broker_never_came_stops_when_asked(deployment: Deployment) -> None:
    await deployment.until(503, NO_BROKER)
    deployment.worker.terminate()
    assert await asyncio.to_thread(deployment.worker.wait, 30) == 0
