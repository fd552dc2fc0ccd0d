"""Publishes events of a synthetic book at a fixed rate, whatever becomes of them: open-loop load.

    python -m benchmarks.load BOOTSTRAP USERS RATE SECONDS START SEED PARTITIONS

Event i belongs to the moment START + i / RATE (s since 1970) and carries it as its time and at the beginning of its id.
A generator that waited for answers would send less while the system stalls, and so hide the stall. What is due within
5 ms goes out together, as Kafka's own producer does it by default (`linger.ms`): that wait counts as the system's, too.
All of it is put together before it begins: in the field those who publish have processors of their own. Prints how late
the generator was itself, as JSON.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from app.kafka import partition_of
from benchmarks.book import DAY_MS, TOPICS, Published, life

LINGER_SECONDS = 0.005
LEADER_ACKS, TIMEOUT_MS = 1, 30_000
#: More than any batch of 5 ms has, and less than a broker takes at once.
LARGEST_BATCH = 900_000


async def main() -> None:
    bootstrap, users, rate, seconds, start, seed, partitions = sys.argv[1:]
    count, begin, per_tick = int(float(rate) * float(seconds)), float(start), float(rate) * LINGER_SECONDS
    days = float(seconds) * 1000 / DAY_MS
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client.set_topics(sorted(set(TOPICS.values())))
        number_of = cache(lambda key: partition_of(key.decode(), int(partitions)))
        due: list[Published] = []
        ticks: list[dict[int, ProduceRequest]] = []
        for number, event in enumerate(life(int(users), count, int(seed), days, int(begin * 1000))):
            due.append(event)
            if number + 1 >= per_tick * (len(ticks) + 1) or number + 1 == count:
                batches = _batches(due, number_of, int((begin + len(ticks) * LINGER_SECONDS) * 1000))
                ticks.append(_requests(batches, client.cluster.leader_for_partition))
                due = []
        if time.time() > begin:
            raise SystemExit(f"making {count} events took longer than there was time; begin later")
        latest = await _send(client, ticks, begin)
    finally:
        await client.close()
    print(json.dumps({"sent": count, "most_late_seconds": latest}))


def _batches(
    events: Sequence[Published], number_of: Callable[[bytes], int], time_ms: int
) -> dict[TopicPartition, bytes]:
    """One batch for each partition."""
    of_place: defaultdict[TopicPartition, list[Published]] = defaultdict(list)
    for event in events:
        of_place[TopicPartition(event.topic, number_of(event.key))].append(event)
    found = {}
    for place, some in of_place.items():
        batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, LARGEST_BATCH)
        for offset, event in enumerate(some):
            if batch.append(offset, time_ms, event.key, event.value, []) is None:
                raise SystemExit("what is due within 5 ms does not fit into one batch")
        found[place] = bytes(batch.build())
    return found


def _requests(
    batches: Mapping[TopicPartition, bytes], leader_of: Callable[[TopicPartition], int]
) -> dict[int, ProduceRequest]:
    """One request for each broker."""
    found: defaultdict[int, defaultdict[str, list[tuple[int, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for place, batch in batches.items():
        found[leader_of(place)][place.topic].append((place.partition, batch))
    return {
        broker: ProduceRequest(None, LEADER_ACKS, TIMEOUT_MS, list(topics.items())) for broker, topics in found.items()
    }


async def _send(client: AIOKafkaClient, ticks: Sequence[dict[int, ProduceRequest]], begin: float) -> float:
    """Send each tick's requests when it is over; returns how late the latest was (s)."""
    latest, under_way = 0.0, set[asyncio.Task[Any]]()
    for number, requests in enumerate(ticks):
        at = begin + (number + 1) * LINGER_SECONDS
        await asyncio.sleep(max(0.0, at - time.time()))
        latest = max(latest, time.time() - at)
        for broker, request in requests.items():
            task = asyncio.create_task(_delivered(client, broker, request))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return latest


async def _delivered(client: AIOKafkaClient, broker: int, request: ProduceRequest) -> None:
    """Raises KafkaError where the broker refuses a batch."""
    response = await client.send(broker, request)
    for _, partitions in response.topics:
        for _, code, *_ in partitions:
            if code:
                raise for_code(code)


if __name__ == "__main__":
    asyncio.run(main())
