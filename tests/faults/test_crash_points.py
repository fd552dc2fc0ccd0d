import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest

from app.embedded import Embedded, embedded_services
from app.kafka import create_topics
from app.settings import Settings, load_settings
from messages.inputs import USER_TOPICS
from tests.faults.applied import until_applied
from tests.faults.findings import Findings
from tests.faults.group import Group
from tests.faults.oracle import compare
from tests.faults.stream import Stream
from tests.faults.worker import CRASHED

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
PARTITIONS, EVENTS, USERS = 2, 1_500, 60
START_MS, SPAN_MS = 1_700_000_000_000, 40 * 86_400_000
#: How often the victim passes the point before it dies there: with work done, and with work left.
PASSES = 2
#: A backlog is decided in so few batches that the point would not come often enough otherwise.
BATCH_SIZE = 100
DIES_WITHIN = 120.0


@pytest.fixture
def services() -> Iterator[Embedded]:
    with embedded_services() as running:
        yield running


async def publish(settings: Settings) -> Counter[tuple[str, int]]:
    """The whole stream; the ends of the logs by topic and partition."""
    producer = aiokafka.AIOKafkaProducer(**settings.kafka_client_options())
    await producer.start()
    try:
        stream = Stream(4, USERS, START_MS, EVENTS, SPAN_MS)
        sent = [await producer.send(record.topic, record.value, key=record.key) for record in stream]
        told = await asyncio.gather(*sent)
    finally:
        await producer.stop()
    ends = Counter({(topic, number): 0 for topic in USER_TOPICS for number in range(PARTITIONS)})
    ends.update((one.topic, one.partition) for one in told if one.topic in USER_TOPICS)
    return ends


async def found_after_dying_at(point: str, services: Embedded, directory: Path, passes: int = PASSES) -> Findings:
    settings = load_settings(
        kafka_bootstrap=services.kafka_bootstrap,
        redis_url=services.redis_url,
        partitions=PARTITIONS,
        time_mode="event",
        session_timeout=6.0,
        batch_size=BATCH_SIZE,
        hmac_key=secrets.token_hex(16),
        http_port=0,
    )
    await create_topics(settings)
    ends = await publish(settings)
    group = Group(settings, directory, wanted=0)
    try:
        victim = group.start_worker(point, passes)
        assert await group.gone(victim, DIES_WITHIN), f"it did not come to {point!r}"
        assert victim.process.returncode == CRASHED, victim.log.read_text()[-3000:]
        group.wanted = 1
        group.look_after()
        await until_applied(settings, lambda _: None, ends)
        await group.stop()
    finally:
        group.close()
    assert group.exits == []
    found = await compare(settings, sample=USERS)
    assert found.records == ends.total()
    assert found.decisions > 100
    assert found.differences == []
    return found


async def test_a_worker_that_dies_with_dead_letters_published_and_nothing_decided_leaves_no_trace(
    services: Embedded, tmp_path: Path
) -> None:
    await found_after_dying_at("dead-letters", services, tmp_path)


async def test_what_a_worker_decided_before_it_died_is_decided_by_the_next_one(
    services: Embedded, tmp_path: Path
) -> None:
    await found_after_dying_at("decided", services, tmp_path)


async def test_what_a_worker_committed_before_it_died_is_published_by_the_next_one(
    services: Embedded, tmp_path: Path
) -> None:
    await found_after_dying_at("committed", services, tmp_path)


async def test_what_a_worker_committed_first_and_nobody_published_comes_once(
    services: Embedded, tmp_path: Path
) -> None:
    # Later it may come twice: an outbox holds what went out until the next commit, and while it is on its way.
    found = await found_after_dying_at("committed", services, tmp_path, passes=0)
    assert found.repeated == 0


async def test_a_batch_whose_journal_entry_alone_was_published_is_published_by_the_next_owner(
    services: Embedded, tmp_path: Path
) -> None:
    await found_after_dying_at("journaled", services, tmp_path)


async def test_what_a_worker_published_and_did_not_acknowledge_comes_once_more_with_the_same_bytes(
    services: Embedded, tmp_path: Path
) -> None:
    found = await found_after_dying_at("published", services, tmp_path)
    assert found.repeated > 0


async def test_what_a_worker_acknowledged_before_it_died_is_not_decided_again(
    services: Embedded, tmp_path: Path
) -> None:
    await found_after_dying_at("acknowledged", services, tmp_path)
