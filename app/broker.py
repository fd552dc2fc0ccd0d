"""What the brokers tell of logs, topics' identities and the group; nothing is changed, and no group is joined."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiokafka
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from agents.identity import topic_identities
from agents.reading import topic_partitions
from app.kafka import POLL_MS, KafkaUnavailable, admin_client, started
from app.settings import Settings

#: Seconds within which every partition's leader must have answered a fetch.
LOOK_SECONDS = 10.0
#: How often a coordinator of the group is asked for, and the seconds in between.
COORDINATOR_ATTEMPTS, COORDINATOR_SECONDS = 10, 0.5

Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Offsets of the first record of a log and of the one that will be written next."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Group:
    """The consumer group of the workers: Kafka's word for its state, and its members' ids: a client's, and a UUID."""

    state: str
    members: tuple[str, ...]


async def topic_epochs(settings: Settings, topics: Sequence[str]) -> dict[str, str]:
    """The identity of each topic's present incarnation, "" where it does not exist or the broker does not tell.

    Raises:
        KafkaUnavailable: when no broker answers.
    """
    try:
        return await topic_identities(settings.kafka_client_options(), topics)
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error


async def log_bounds(settings: Settings, topics: Sequence[str]) -> dict[Place, Bounds]:
    """First offset and end of every partition's log.

    Raises:
        KafkaUnavailable: when no broker answers, a topic does not exist, or a partition has no leader.
    """
    consumer = aiokafka.AIOKafkaConsumer(
        **settings.kafka_client_options(), enable_auto_commit=False, fetch_max_wait_ms=POLL_MS
    )
    async with started(consumer, settings):
        partitions = await topic_partitions(consumer, topics)
        consumer.assign(partitions)
        firsts = await consumer.beginning_offsets(partitions)
        listed = await consumer.end_offsets(partitions)
        for partition, end in listed.items():
            consumer.seek(partition, end)
        # The embedded broker lists the begin of the newest batch for the end; what a fetch tells is right.
        ends = await _highwaters(consumer, partitions)
    return {(p.topic, p.partition): Bounds(firsts[p], max(listed[p], ends[p])) for p in partitions}


async def _highwaters(
    consumer: Any, partitions: Sequence[aiokafka.TopicPartition]
) -> dict[aiokafka.TopicPartition, int]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOOK_SECONDS
    while True:
        ends = {partition: consumer.highwater(partition) for partition in partitions}
        silent = [f"{p.topic}[{p.partition}]" for p, end in ends.items() if end is None]
        if not silent:
            return ends
        if loop.time() > deadline:
            raise KafkaUnavailable(f"no leader answers for {', '.join(silent)}")
        await consumer.getmany(timeout_ms=POLL_MS)


async def offsets_at(settings: Settings, places: Iterable[Place], time_ms: int) -> Mapping[Place, int | None]:
    """The first offset whose record the broker received at `time_ms` or later, None where there is none.

    Raises:
        KafkaUnavailable: when no broker answers, or it cannot look offsets up by time.
    """
    consumer = aiokafka.AIOKafkaConsumer(**settings.kafka_client_options(), enable_auto_commit=False)
    wanted = {aiokafka.TopicPartition(topic, number): time_ms for topic, number in places}
    async with started(consumer, settings):
        found = await consumer.offsets_for_times(wanted)
    return {(p.topic, p.partition): None if at is None else at.offset for p, at in found.items()}


async def group_state(settings: Settings) -> Group:
    """The workers' group as its coordinator knows it.

    Raises:
        KafkaUnavailable: when no broker answers, or the group has no coordinator.
    """
    async with admin_client(settings) as admin:
        for _ in range(COORDINATOR_ATTEMPTS):
            with suppress(GroupCoordinatorNotAvailableError):
                (response,) = await admin.describe_consumer_groups([settings.group])
                ((error, _name, state, _type, _protocol, members, *_rest),) = response.groups
                if not error:
                    return Group(state, tuple(member for member, *_rest in members))
            # At the first question ever the coordinator is only about to be chosen.
            await asyncio.sleep(COORDINATOR_SECONDS)
    raise KafkaUnavailable(f"Kafka at {settings.kafka_bootstrap}: group {settings.group} has no coordinator")
