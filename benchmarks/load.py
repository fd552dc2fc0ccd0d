"""Publishes events of a synthetic book at a fixed rate, whatever becomes of them: open-loop load.

    python -m benchmarks.load BOOTSTRAP USERS RATE SECONDS START SEED PARTITIONS

Event i belongs to the moment START + i / RATE (s since 1970) and carries it as its time and at the beginning of its id.
A generator that waited for answers would send less while the system stalls, and so hide the stall. What is due within
5 ms goes out together, as Kafka's own producer does it by default (`linger.ms`): that wait counts as the system's, too.
All of it is put together before it begins, down to the bytes of every request: in the field those who publish have
processors of their own. Prints how late the generator was itself, as JSON.
"""

import asyncio
import gc
import json
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from app.kafka import partition_of
from benchmarks.book import DAY_MS, TOPICS, Published, life

LINGER_SECONDS = 0.005
LEADER_ACKS, TIMEOUT_MS = 1, 30_000
#: More than any batch of 5 ms has, and less than a broker takes at once.
LARGEST_BATCH = 900_000
_SIZE = struct.Struct(">i")
_VERSION = ProduceRequest_v7


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
        ticks: list[dict[int, bytes]] = []
        for number, event in enumerate(life(int(users), count, int(seed), days, int(begin * 1000))):
            due.append(event)
            if number + 1 >= per_tick * (len(ticks) + 1) or number + 1 == count:
                batches = _batches(due, number_of, int((begin + len(ticks) * LINGER_SECONDS) * 1000))
                ticks.append(_requests(batches, client.cluster.leader_for_partition, len(ticks)))
                due = []
        brokers = {broker.nodeId: (broker.host, broker.port) for broker in client.cluster.brokers()}
    finally:
        await client.close()
    gc.freeze()  # to look through a million ticks again and again would hold up those that are due
    if time.time() > begin:
        raise SystemExit(f"making {count} events took longer than there was time; begin later")
    latest = await _send(brokers, ticks, begin)
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
    batches: Mapping[TopicPartition, bytes], leader_of: Callable[[TopicPartition], int], number: int
) -> dict[int, bytes]:
    """One request for each broker, as it goes over the wire."""
    found: defaultdict[int, defaultdict[str, list[tuple[int, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for place, batch in batches.items():
        found[leader_of(place)][place.topic].append((place.partition, batch))
    requests = {}
    for broker, topics in found.items():
        request = ProduceRequest(None, LEADER_ACKS, TIMEOUT_MS, list(topics.items())).build(_VERSION)
        message = request.build_request_header(number, "load").encode() + request.encode()
        requests[broker] = _SIZE.pack(len(message)) + message
    return requests


async def _send(brokers: Mapping[int, tuple[str, int]], ticks: Sequence[dict[int, bytes]], begin: float) -> float:
    """Send each tick's requests when it is over; returns how late the latest was (s)."""
    latest, ways = 0.0, {broker: await asyncio.open_connection(*address) for broker, address in brokers.items()}
    expected = {broker: sum(broker in tick for tick in ticks) for broker in brokers}
    answers = asyncio.gather(*(_answers(reader, expected[broker]) for broker, (reader, _) in ways.items()))
    for number, requests in enumerate(ticks):
        at = begin + (number + 1) * LINGER_SECONDS
        await asyncio.sleep(max(0.0, at - time.time()))
        latest = max(latest, time.time() - at)
        for broker, request in requests.items():
            ways[broker][1].write(request)
    for answer in [answer for of_broker in await answers for answer in of_broker]:
        _check(answer)
    for _, writer in ways.values():
        writer.close()
    return latest


async def _answers(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    """So many answers of a broker."""
    return [await reader.readexactly(*_SIZE.unpack(await reader.readexactly(_SIZE.size))) for _ in range(count)]


def _check(answer: bytes) -> None:
    """Raises KafkaError where the broker refused a batch."""
    response: Any = _VERSION.RESPONSE_TYPE.decode(BytesIO(answer[_SIZE.size :]))  # behind the request's number
    for _, partitions in response.topics:
        for _, code, *_ in partitions:
            if code:
                raise for_code(code)


if __name__ == "__main__":
    asyncio.run(main())
