"""Two versions of real workers side by side, and what an old one does with what the new one wrote."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.embedded import Embedded, embedded_services
from features.record import SCHEMA_VERSION
from tests.agents.cluster import create_topics, published_once
from tests.upgrade.layout import NEXT_VERSION
from tests.upgrade.rolling import NEXT, PRESENT, SECONDS, Rolling, compile_next_version

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


@pytest.fixture
def services() -> Iterator[Embedded]:
    compile_next_version()
    with embedded_services() as running:
        yield running


@pytest.fixture
async def group(services: Embedded, tmp_path: Path) -> AsyncIterator[Rolling]:
    import aiokafka

    made = Rolling(services.kafka_bootstrap, services.redis_url, "duewatch", tmp_path)
    made.embedded = services
    await create_topics(made.kafka, made.partitions)
    made.producer = aiokafka.AIOKafkaProducer(bootstrap_servers=made.kafka, linger_ms=2)
    await made.producer.start()
    yield made
    for worker in [*made.workers, *made.ended]:
        worker.kill()
        worker.wait()
    await made.producer.stop()


async def test_a_rolling_upgrade_applies_every_event_once_and_an_old_worker_refuses_what_the_new_one_wrote(
    group: Rolling,
) -> None:
    first = group.start(PRESENT)
    await group.ready()
    second = group.start(PRESENT)
    await group.ready()
    await group.send_some(600)
    await group.settled(SECONDS)
    assert await group.schemas() == {SCHEMA_VERSION}

    stream = asyncio.create_task(group.stream())
    assert await group.end_worker(first) == 0
    group.start(NEXT)
    await group.ready()
    await group.until_schemas({SCHEMA_VERSION, NEXT_VERSION})  # both versions are at work
    assert await group.end_worker(second) == 0
    group.start(NEXT)
    await group.ready()
    await group.until_schemas({NEXT_VERSION})
    stream.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stream
    await group.producer.flush()
    assert await group.settled(SECONDS) == group.sent

    await _an_old_worker_refuses(group)

    group.start(NEXT)
    await group.ready()
    assert await group.settled(SECONDS) == group.sent
    await _published_once(group)


async def _an_old_worker_refuses(group: Rolling) -> None:
    """It says what to do, ends by itself, and leaves everything as it was."""
    for worker in list(group.workers):
        assert await group.end_worker(worker) == 0
    records, opened = await group.stored(), await group.opened()
    await group.send_some(200)
    old = group.start(PRESENT)
    assert await asyncio.to_thread(old.wait, SECONDS) != 0
    group.workers.remove(old)
    said = group.log(group.started).read_text()
    assert f"schema {NEXT_VERSION}, this program knows up to {SCHEMA_VERSION}" in said
    assert "run the newer version again, or restore the Redis snapshot from before the upgrade" in said
    assert await group.stored() == records
    assert [one.position for one in await group.opened()] == [one.position for one in opened]


async def _published_once(group: Rolling) -> None:
    """Whatever was published twice has equal bytes."""
    found = [published_once(await group.read(topic)) for topic in ("warnings", "score-changes", "limit-adjustments")]
    assert sum(map(len, found)) >= len(group.sent)
