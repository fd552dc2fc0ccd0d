from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.embedded import Embedded, embedded_services
from tests.agents.cluster import Cluster, cluster
from tests.servers.available import kafka_libraries
from tests.servers.kafka import KafkaCluster


@pytest.fixture
def services() -> Iterator[Embedded]:
    """A broker and a store that nobody has used."""
    with embedded_services() as running:
        yield running


@pytest.fixture
async def group(services: Embedded, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Topics of four partitions, and no worker yet."""
    async with cluster(services.kafka_bootstrap, services.redis_url, "group", tmp_path, embedded=True) as empty:
        yield empty


@pytest.fixture
async def kafka_group(services: Embedded, tmp_path: Path) -> AsyncIterator[Cluster]:
    """The same on Apache Kafka."""
    kafka = KafkaCluster(tmp_path / "kafka", kafka_libraries())
    kafka.start()
    try:
        async with cluster(kafka.bootstrap, services.redis_url, "group", tmp_path) as empty:
            yield empty
    finally:
        kafka.stop()
