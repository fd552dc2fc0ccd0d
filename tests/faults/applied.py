"""Whether everything in the topics is applied: the positions in the store against the ends of the logs."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import aiokafka

from app.settings import Settings
from messages.inputs import USER_TOPICS
from store.contract import StoreUnavailable
from store.redis import RedisStore

ASK_SECONDS, SAY_SECONDS = 0.5, 5.0
#: Without any progress for so long, the group is stuck.
STUCK_SECONDS = 120.0
SHOWN = 8


class Lagging(Exception):
    """Not everything is applied, and no more comes; the message says which topics lag, and by how much."""


async def until_applied(
    settings: Settings,
    say: Callable[[str], None],
    ends: Mapping[tuple[str, int], int] | None = None,
    topics: Sequence[str] = tuple(USER_TOPICS),
) -> None:
    """Return once every position is at its log's end; nothing must be sent to `topics` meanwhile. Raises Lagging.

    `ends` by topic and partition are asked for where they are not given.
    """
    ends = await _ends(settings, topics) if ends is None else ends
    store = RedisStore(settings.redis_address())
    views = [store.partition(number) for number in range(settings.partitions)]
    try:
        least, moved, said = sum(ends.values()) + 1, time.monotonic(), 0.0
        while True:
            lag: dict[tuple[str, int], int] = dict(ends)
            for number, view in enumerate(views):
                try:
                    position = (await view.open()).position
                except StoreUnavailable:
                    continue
                for topic, known in position.items():
                    if (topic, number) in lag:
                        lag[topic, number] -= known.next_offset
            left, now = sum(lag.values()), time.monotonic()
            if not any(lag.values()):
                return
            if left != least:
                least, moved = left, now
            if now - said > SAY_SECONDS:
                said = now
                say(f"{left:,} records are not applied yet")
            if now - moved > STUCK_SECONDS:
                raise Lagging(_told(lag))
            await asyncio.sleep(ASK_SECONDS)
    finally:
        await store.close()


def _told(lag: dict[tuple[str, int], int]) -> str:
    behind = sorted(((count, topic, number) for (topic, number), count in lag.items() if count), reverse=True)
    shown = ", ".join(f"{topic}[{number}] by {count:,}" for count, topic, number in behind[:SHOWN])
    more = f" and {len(behind) - SHOWN} more" if len(behind) > SHOWN else ""
    return f"nothing more was applied for {STUCK_SECONDS:.0f} s; behind are {shown}{more}"


async def _ends(settings: Settings, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    consumer = aiokafka.AIOKafkaConsumer(**settings.kafka_client_options(), enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [aiokafka.TopicPartition(topic, n) for topic in topics for n in range(settings.partitions)]
        return {(tp.topic, tp.partition): end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()
