"""What only a real log shows: transaction markers between the records, and records deleted before they were read."""

import asyncio

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from store.contract import Commit, Header, TopicPosition
from tests.agents.cluster import START_MS, Cluster, event

pytestmark = [pytest.mark.kafka, pytest.mark.embedded, pytest.mark.slow]


async def test_transaction_markers_between_records_are_no_lost_events(kafka_group: Cluster) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_group.kafka, transactional_id="t")
    await producer.start()
    try:
        for number in range(60):
            async with producer.transaction():
                user = f"u{number % 5}"
                kafka_group.sent[user] += 1
                at_ms = START_MS + number * 1000
                await producer.send("purchases", event("purchases", user, number, at_ms), key=user.encode())
    finally:
        await producer.stop()
    kafka_group.start_worker()
    assert await kafka_group.settled(60) == kafka_group.sent


async def test_records_deleted_before_they_were_applied_are_loudly_told_and_the_rest_is_applied(
    kafka_group: Cluster,
) -> None:
    group = kafka_group
    for number in range(50):
        await group.producer.send(
            "purchases", event("purchases", "u1", number, START_MS + number * 1000), key=b"u1", partition=0
        )
    await group.producer.flush()
    store = group.store()
    view = store.partition(0)
    await view.open()
    await view.commit(Commit(header=Header(commits=1), position={"purchases": TopicPosition(10)}))
    await view.close()
    await store.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=group.kafka)
    await admin.start()
    await admin.delete_records({aiokafka.TopicPartition("purchases", 0): RecordsToDelete(before_offset=30)})
    await admin.close()
    group.sent["u1"] = 20
    worker = group.start_worker()
    assert await group.settled(60) == group.sent
    await group.end_worker(worker)
    log = await asyncio.to_thread((group.directory / "worker-1.log").read_text)
    assert "purchases[0]: offsets 10 to 29 were deleted" in log
