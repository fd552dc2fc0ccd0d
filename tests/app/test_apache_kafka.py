"""What Apache Kafka tells its clients otherwise than the embedded broker does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.broadcasts import Book, KafkaBroadcasts
from agents.health import Health
from agents.meters import SilentMeters
from app.broker import log_bounds
from app.core import first_in_force
from app.kafka import create_topics, publisher, read_topics
from app.settings import Settings, load_settings
from tests.servers.kafka import KafkaCluster, jars

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    kafka = KafkaCluster(tmp_path / "kafka", jars(Path.home() / ".cache" / "duewatch"), heap_mb=256)
    kafka.start()
    try:
        found = load_settings(kafka_bootstrap=kafka.bootstrap, partitions=2)
        await create_topics(found)
        yield found
    finally:
        kafka.stop()


async def test_partitions_of_topics_that_a_client_does_not_read_yet_are_found(settings: Settings) -> None:
    async with publisher(settings) as target:
        await target.send("warnings", b"u", b"1")
        await target.settle()
    found = [record.value async for record in read_topics(settings, ["warnings"], from_start=True, follow=False)]
    assert found == [b"1"]
    bounds = await log_bounds(settings, ["warnings"])
    assert sorted(log.end for log in bounds.values()) == [0, 1]
    broadcasts = KafkaBroadcasts(
        settings.kafka_client_options(), Book(first_in_force(settings), None, SilentMeters()), SilentMeters(), Health()
    )
    await broadcasts.start()
    async with asyncio.timeout(60):
        await broadcasts.read()
    await broadcasts.stop()
