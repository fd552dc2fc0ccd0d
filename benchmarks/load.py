"""Publishes events of a synthetic book at a fixed rate, whatever becomes of them: open-loop load.

    python -m benchmarks.load BOOTSTRAP USERS RATE SECONDS START SEED PARTITIONS

Event i belongs to the moment START + i / RATE (s since 1970) and carries it as its time and at the beginning of its id.
A generator that waited for answers would send less while the system stalls, and so hide the stall. What is due within
5 ms goes out together, as Kafka's own producer does it by default (`linger.ms`): that wait counts as the system's, too.
Prints how late the generator was itself, as JSON.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.publishing import PARCEL_BYTES
from app.kafka import partition_of
from benchmarks.book import DAY_MS, Published, life

LINGER_SECONDS = 0.005


async def main() -> None:
    bootstrap, users, rate, seconds, start, seed, partitions = sys.argv[1:]
    count, begin = int(float(rate) * float(seconds)), float(start)
    days = float(seconds) * 1000 / DAY_MS
    events = list(life(int(users), count, int(seed), days, int(begin * 1000)))
    keys = {event.key for event in events}
    place = {key: partition_of(key.decode(), int(partitions)) for key in keys}
    if time.time() > begin:
        raise SystemExit(f"making {count} events took longer than there was time; begin later")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1, max_batch_size=PARCEL_BYTES) as producer:
        sent, latest, next_tick = 0, 0.0, begin
        while sent < count:
            next_tick += LINGER_SECONDS
            await asyncio.sleep(next_tick - time.time())
            now = time.time()
            due = max(sent, min(int((now - begin) * float(rate)), count))
            latest = max(latest, now - next_tick)
            await _send(producer, events[sent:due], place)
            sent = due
    print(json.dumps({"sent": sent, "most_late_seconds": latest}))


async def _send(producer: AIOKafkaProducer, events: Sequence[Published], place: dict[bytes, int]) -> None:
    """One batch for each partition; those for one broker go to it as one request."""
    batches: defaultdict[tuple[str, int], Any] = defaultdict(producer.create_batch)
    for event in events:
        at = event.topic, place[event.key]
        while batches[at].append(timestamp=None, key=event.key, value=event.value) is None:  # it is full
            await producer.send_batch(batches.pop(at), event.topic, partition=at[1])
    for (topic, partition), batch in batches.items():
        await producer.send_batch(batch, topic, partition=partition)


if __name__ == "__main__":
    asyncio.run(main())
