import asyncio
from pathlib import Path

import aiokafka
import pytest

from app.embedded import Embedded
from tests.agents.cluster import START_MS, Cluster, cluster, create_topics, published_once

TOPICS = ("purchases", "repayments", "behaviours")

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


async def fill(group: Cluster, events: int = 900) -> None:
    for number in range(events):
        await group.send(TOPICS[number % 3], f"u{number % 40}", number, START_MS + number * 1000)
    await group.producer.flush()


async def causes(group: Cluster) -> set[bytes]:
    found = published_once(await group.read("warnings"))
    return {identity for identity in found if not identity.startswith(b"timer")}


async def committed(group: Cluster) -> int:
    """Sum of the group's offsets, as a lag tool sees them."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=group.kafka, group_id=group.name, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [aiokafka.TopicPartition(topic, number) for topic in TOPICS for number in range(group.partitions)]
        consumer.assign(tps)
        return sum([await consumer.committed(tp) or 0 for tp in tps])
    finally:
        await consumer.stop()


async def test_a_worker_applies_everything_commits_its_offsets_and_stops_when_asked(group: Cluster) -> None:
    await fill(group)
    worker = group.start_worker()
    assert await group.settled(60) == group.sent
    assert await group.end_worker(worker) == 0
    assert len(await causes(group)) == 900
    assert await committed(group) == 900


@pytest.mark.parametrize("point", ["decided", "committed", "published", "acknowledged"])
async def test_a_worker_that_dies_at_a_named_point_is_replaced_without_a_trace(group: Cluster, point: str) -> None:
    await fill(group)
    victim = group.start_worker(CRASH_AT=point, CRASH_AFTER="2")
    assert await asyncio.to_thread(victim.wait, 60) == 9
    group.workers.remove(victim)
    group.start_worker()
    assert await group.settled(60) == group.sent
    async with asyncio.timeout(60):  # the victim may have applied all, and left publishing to the next one
        while True:
            if len(await causes(group)) == 900:
                return
            await asyncio.sleep(0.5)


async def test_a_worker_refuses_topics_with_different_numbers_of_partitions(services: Embedded, tmp_path: Path) -> None:
    await create_topics(services.kafka_bootstrap, 4, bills=5)
    async with cluster(services.kafka_bootstrap, services.redis_url, "group", tmp_path) as group:
        worker = group.start_worker()
        assert await asyncio.to_thread(worker.wait, 60) != 0
    assert "same number of partitions" in (tmp_path / "worker-1.log").read_text()
