"""A loop written by hand: aiokafka, up to 1,000 records of a partition at once, pipelined reads and writes of Redis.

Guarantee: at-least-once. A batch's users are read by one MGET and written by one MSET, its warnings are awaited from
the broker, then its offsets are committed; a crash in between applies the batch a second time. Users are dicts, in
Redis as JSON. The end is the last commit of offsets.
"""

import asyncio
from typing import Any

import aiokafka
import msgspec
import redis.asyncio

from benchmarks.standard.job import LIMIT, advance, decode_purchase, new_user, warning
from benchmarks.standard.task import Stopwatch, Task, this_task

BATCH = 1_000


async def run(task: Task) -> None:
    """Work through the whole topic."""
    stopwatch = Stopwatch(task.events)
    consumer = aiokafka.AIOKafkaConsumer(
        task.topic,
        bootstrap_servers=task.bootstrap,
        group_id=task.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=task.bootstrap, acks="all", linger_ms=1)
    async with consumer, producer, redis.asyncio.Redis.from_url(task.redis_url) as store:
        while stopwatch.left > 0:
            for tp, records in (await consumer.getmany(timeout_ms=300, max_records=BATCH)).items():
                stopwatch.begin()
                for user, found in await decide(store, [record.value for record in records]):
                    await producer.send(task.warnings, found, key=user.encode())
                await producer.flush()
                await consumer.commit({tp: records[-1].offset + 1})
                stopwatch.finished(len(records))


async def decide(store: Any, values: list[bytes]) -> list[tuple[str, bytes]]:
    """Advance the users of a batch in Redis; returns the warnings, each with its user."""
    events = [decode_purchase(value) for value in values]
    names = list({event.user_id: None for event in events})
    stored = await store.mget(names)
    users: dict[str, dict[str, Any]] = {
        name: new_user() if value is None else msgspec.json.decode(value)
        for name, value in zip(names, stored, strict=True)
    }
    warnings = []
    for event in events:
        features = advance(users[event.user_id], event)
        if features[0] > LIMIT:
            warnings.append((event.user_id, warning(event.event_id, event.user_id, features)))
    await store.mset({name: msgspec.json.encode(user) for name, user in users.items()})
    return warnings


if __name__ == "__main__":
    asyncio.run(run(this_task()))
