from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.embedded import Embedded, embedded_services
from tests.agents.cluster import Cluster, cluster


@pytest.fixture
def services() -> Iterator[Embedded]:
    """A broker and a store that nobody has used."""
    with embedded_services() as running:
        yield running


@pytest.fixture
async def group(services: Embedded, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Topics of four partitions, and no worker yet."""
    async with cluster(services.kafka_bootstrap, services.redis_url, "group", tmp_path) as empty:
        yield empty
