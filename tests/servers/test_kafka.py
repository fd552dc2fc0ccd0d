import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.servers.available import kafka_libraries
from tests.servers.kafka import KafkaCluster
from tests.servers.replicas import until_in_sync

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path, kafka_libraries(), 3)
    cluster.start()
    yield cluster
    cluster.stop()


async def send(cluster: KafkaCluster, value: bytes) -> None:
    """Publish on all in-sync replicas, trying until it is done."""
    async with asyncio.timeout(60):
        while True:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=cluster.bootstrap, acks="all", request_timeout_ms=5_000
            )
            try:
                await producer.start()
                await producer.send_and_wait("events", value)
                return
            except KafkaError:
                await asyncio.sleep(0.2)
            finally:
                await producer.stop()


async def values(cluster: KafkaCluster) -> set[bytes]:
    consumer = aiokafka.AIOKafkaConsumer(
        "events", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        found: set[bytes] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while len(found) < 4:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found |= {record.value for record in records}
        return found
    finally:
        await consumer.stop()


async def test_three_brokers_keep_everything_while_one_is_killed_paused_or_full(three: KafkaCluster) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=three.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("events", 1, 3)])
    await admin.close()
    await send(three, b"before")
    three.stop_broker(0, kill=True)
    await send(three, b"one is dead")
    three.start_broker(0)
    await until_in_sync(three.bootstrap, ["events"], 3)
    three.pause_broker(1)
    await send(three, b"one is paused")
    three.resume_broker(1)
    await until_in_sync(three.bootstrap, ["events"], 3)
    process = three.brokers[2].process
    assert process is not None
    three.fill_disk_of(2)
    await send(three, b"one is full" * 10_000)
    assert await asyncio.to_thread(process.wait, 60) != 0
    assert "all log dirs in" in (three.brokers[2].directory / "broker.log").read_text()  # "... have failed"
    three.start_broker(2)
    assert await values(three) == {b"before", b"one is dead", b"one is paused", b"one is full" * 10_000}
