"""Reading topics whole, outside the group: which partitions they have, and when a reader has come to their end."""

from collections.abc import Iterable
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError


async def read_whole(consumer: Any, tps: Iterable[Any]) -> bool:
    """Whether an aiokafka consumer has read everything; told by fetches, a list of end offsets may be behind."""
    for tp in tps:
        end = consumer.highwater(tp)
        if end is None or await consumer.position(tp) < end:
            return False
    return True


class NoTopic(KafkaError):  # type: ignore[misc]
    """Topics that have to be there do not exist; the message names them."""


async def topic_partitions(consumer: Any, topics: Iterable[str]) -> list[Any]:
    """Every partition of the topics, which a started aiokafka consumer need not read. Raises NoTopic, KafkaError."""
    # The consumer itself knows partitions only of topics that it reads already.
    cluster = await consumer._client.fetch_all_metadata()
    numbers = {topic: sorted(cluster.partitions_for_topic(topic) or ()) for topic in topics}
    lacking = [topic for topic, found in numbers.items() if not found]
    if lacking:
        raise NoTopic(", ".join(lacking))
    return [aiokafka.TopicPartition(topic, number) for topic, found in numbers.items() for number in found]
