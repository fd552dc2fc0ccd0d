"""What only a real log shows of the journal: a store that lost everything is brought up to date from Apache Kafka."""

import random

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.journal import JournalBroken, KafkaJournal, decoded_batch, lost_entries
from agents.meters import SilentMeters
from messages.decoding import Decoder
from messages.money import Money
from tests.agents.cluster import START_MS, Cluster, published_once
from tests.agents.storm import TOPICS
from tests.store.redis_servers import operator

pytestmark = [pytest.mark.kafka, pytest.mark.embedded, pytest.mark.slow]


@pytest.fixture
async def group(kafka_group: Cluster) -> Cluster:
    """A group on Apache Kafka whose one worker has applied events that arrived out of the order of their time."""
    kafka_group.start_worker()
    rng = random.Random(3)
    for number in range(400):
        at_ms = START_MS + number * 1000 - rng.randrange(50_000)
        await kafka_group.send(rng.choice(TOPICS), f"u{rng.randrange(20)}", number, at_ms)
        if number % 100 == 99:
            await kafka_group.producer.flush()
            await kafka_group.settled(60)
    await kafka_group.end_worker(kafka_group.workers[0])
    return kafka_group


async def test_an_emptied_store_is_filled_from_the_journal_with_the_same_decisions(group: Cluster) -> None:
    before = published_once(await group.read("warnings"))
    with operator(group.store()._servers.address) as client:
        client.flushall()
    group.start_worker()
    assert await group.settled(60) == group.sent
    await group.send("purchases", "u1", 1000, START_MS + 500_000)
    await group.producer.flush()
    assert await group.settled(60) == group.sent
    assert "batches restored" in (group.directory / "worker-2.log").read_text()
    after = published_once(await group.read("warnings"))  # fails where an id came with other bytes
    assert after.keys() >= before.keys()


async def test_every_batch_can_be_read_back_until_its_records_are_deleted(group: Cluster) -> None:
    journal = KafkaJournal({"bootstrap_servers": group.kafka}, SilentMeters())
    decoder, events = Decoder(Money()), 0
    for partition in range(group.partitions):
        entries = lost_entries(await journal.entries(partition, 0), 0, {})
        assert entries
        async for entry, records in journal.records(partition, entries):
            batch = decoded_batch(entry, records, decoder)
            assert [entry.topics[int(digit)].topic for digit in entry.order] == [
                batch.events.sources[source].topic for source in batch.events.source
            ]
            events += len(batch.events)
    assert events == group.sent.total()

    tp = aiokafka.TopicPartition("purchases", 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=group.kafka)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before_offset=1)})
    await admin.close()
    entries = lost_entries(await journal.entries(0, 0), 0, {})
    with pytest.raises(JournalBroken, match=r"purchases\[0\]: offsets 0 to 0 were deleted"):
        await anext(journal.records(0, entries))
    await journal.stop()
