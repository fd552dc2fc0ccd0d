"""Kafka clients of the command line: topics, publishing, reading a topic."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from agents.reading import NoTopic, topic_partitions
from app.settings import Settings
from messages.message import Message
from messages.topics import ALL_TOPICS, TopicSpec

ALREADY_EXISTS = 36
POLL_MS = 200


class KafkaUnavailable(Exception):
    """No broker answers, or it refuses; the message says where."""


@dataclass(frozen=True, slots=True)
class Created:
    """What `create_topics` did."""

    made: list[str]
    existed: list[str]


def partition_of(user: str, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives to a user."""
    return int(murmur2(user.encode()) & 0x7FFFFFFF) % partitions


async def create_topics(settings: Settings) -> Created:
    """Create the topics that are missing.

    Raises:
        KafkaUnavailable: when no broker answers or one refuses a topic.
    """
    made: list[str] = []
    existed: list[str] = []
    async with admin_client(settings) as admin:
        response = await admin.create_topics([_new_topic(spec, settings) for spec in ALL_TOPICS])
        for name, code, *message in response.topic_errors:
            if code not in (0, ALREADY_EXISTS):
                raise KafkaUnavailable(f"topic {name}: error {code} {message}")
            (existed if code else made).append(name)
    return Created(made, existed)


async def check_topics(settings: Settings) -> list[str]:
    """What is wrong with the topics: one sentence each, none where all is well."""
    problems = []
    async with admin_client(settings) as admin:
        present = set(await admin.list_topics())
        described = await admin.describe_topics([spec.name for spec in ALL_TOPICS if spec.name in present])
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    for spec in ALL_TOPICS:
        wanted = spec.partition_count(settings.partitions)
        if spec.name not in counts:
            problems.append(f"{spec.name} does not exist: run `duewatch topics create`")
        elif counts[spec.name] != wanted:
            problems.append(f"{spec.name} has {counts[spec.name]} partitions, not {wanted} (DUEWATCH_PARTITIONS)")
    return problems


class Publisher:
    """Sends messages and knows when the broker has all of them."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._waiting: list[asyncio.Future[Any]] = []

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[Any] = ()) -> None:
        """Hand one message to the client."""
        self._waiting.append(await self._producer.send(topic, value, key=key, headers=list(headers)))

    async def settle(self) -> None:
        """Wait until the broker has acknowledged everything sent so far."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await asyncio.gather(*waiting)

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send and settle."""
        for message in messages:
            await self.send(message.topic, message.key, message.value, message.headers)
        await self.settle()


@asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher that waits for all in-sync replicas."""
    producer = aiokafka.AIOKafkaProducer(**settings.kafka_client_options(), acks="all", linger_ms=1)
    async with started(producer, settings):
        yield Publisher(producer)


async def read_topics(
    settings: Settings, topics: Sequence[str], *, from_start: bool, follow: bool
) -> AsyncGenerator[aiokafka.ConsumerRecord, None]:
    """Records of all partitions of some topics, outside of any group; in order within a partition.

    Who does not read to the end closes it (`contextlib.aclosing`).

    Args:
        settings: where the brokers are.
        topics: their names.
        from_start: begin with the oldest record, not with what comes from now on.
        follow: go on for ever; else end with what was there at the beginning.

    Raises:
        KafkaUnavailable: when no broker answers, or a topic does not exist.
    """
    consumer = aiokafka.AIOKafkaConsumer(**settings.kafka_client_options(), enable_auto_commit=False)
    async with started(consumer, settings):
        partitions = await topic_partitions(consumer, topics)
        consumer.assign(partitions)
        offsets = consumer.beginning_offsets if from_start else consumer.end_offsets
        for partition, start in (await offsets(partitions)).items():
            consumer.seek(partition, start)
        ends: dict[aiokafka.TopicPartition, int] = {}
        while follow or not await _has_reached(consumer, partitions, ends):
            for batch in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in batch:
                    yield record


async def _has_reached(
    consumer: Any, partitions: Sequence[aiokafka.TopicPartition], ends: dict[aiokafka.TopicPartition, int]
) -> bool:
    """Whether every partition is read to the end that its first fetch told; `ends` keeps those.

    The embedded broker answers the question for the end offset with too small a number; what a fetch tells is right.
    """
    for partition in partitions:
        highwater = consumer.highwater(partition)
        if highwater is not None:
            ends.setdefault(partition, highwater)
    return len(ends) == len(partitions) and all([await consumer.position(p) >= end for p, end in ends.items()])


def _new_topic(spec: TopicSpec, settings: Settings) -> NewTopic:
    configs = spec.settings()
    if settings.replication > 2:
        configs["min.insync.replicas"] = str(settings.replication - 1)
    partitions = spec.partition_count(settings.partitions)
    return NewTopic(spec.name, partitions, settings.replication, topic_configs=configs)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[Any]:
    """A started admin client. Raises KafkaUnavailable where no broker answers, or one refuses."""
    admin = AIOKafkaAdminClient(**settings.kafka_client_options())
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    finally:
        await admin.close()


@asynccontextmanager
async def started(client: Any, settings: Settings) -> AsyncIterator[None]:
    """Start a producer or consumer, and stop it. Raises KafkaUnavailable where no broker answers, or one refuses."""
    try:
        await client.start()
        yield
    except NoTopic as lacking:
        raise KafkaUnavailable(f"topic {lacking.args[0]} does not exist: run `duewatch topics create`") from lacking
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    finally:
        await client.stop()
