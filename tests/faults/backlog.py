"""A backlog of plain events for measurements: quick to make, the same for the same numbers, no oracle."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import aiokafka

from app.kafka import partition_of

START_MS = 1_767_225_600_000
#: Odd, so that multiplying by it visits all users before it comes back to one.
_STRIDE = 7_919
_BATCH_BYTES = 256 * 1024

_PURCHASE = (
    '{"type":"purchase","event_id":"p-%(n)d","user_id":"%(user)s","time":%(ms)d,"order_id":"o-%(n)d",'
    '"amount":%(amount)d,"currency":"CNY","category":"groceries","merchant_id":"m-%(shop)d","device_id":"d-%(user)s"}'
)
_VISIT = '{"type":"login","event_id":"v-%(n)d","user_id":"%(user)s","time":%(ms)d,"device_id":"d-%(user)s"}'
_REPAYMENT = (
    '{"type":"repayment","event_id":"r-%(n)d","user_id":"%(user)s","time":%(ms)d,"repayment_id":"r-%(n)d",'
    '"amount":%(amount)d,"currency":"CNY"}'
)
#: Half of the events are purchases, three in ten visits, the rest repayments.
_KINDS = [("purchases", _PURCHASE)] * 5 + [("behaviours", _VISIT)] * 3 + [("repayments", _REPAYMENT)] * 2


def events(count: int, users: int, span_ms: int) -> Iterator[tuple[str, str, bytes]]:
    """Topic, user and bytes of `count` events of `users` users over `span_ms` of event time, in its order."""
    for n in range(count):
        topic, template = _KINDS[n % len(_KINDS)]
        user = f"user-{n * _STRIDE % users:07d}"
        fields = {
            "n": n,
            "user": user,
            "ms": START_MS + n * span_ms // count,
            "amount": 500 + n % 9_000,
            "shop": n % 997,
        }
        yield topic, user, (template % fields).encode()


async def publish_backlog(kafka: str, partitions: int, count: int, users: int, span_ms: int) -> int:
    """Publish that backlog in large batches; the number of bytes of its events."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=_BATCH_BYTES, acks=1)
    await producer.start()
    builders: dict[tuple[str, int], Any] = defaultdict(producer.create_batch)
    places = {f"user-{n:07d}": partition_of(f"user-{n:07d}", partitions) for n in range(users)}
    size = 0
    try:
        for topic, user, value in events(count, users, span_ms):
            place = topic, places[user]
            size += len(value)
            if builders[place].append(key=user.encode(), value=value, timestamp=None) is None:
                await producer.send_batch(builders.pop(place), place[0], partition=place[1])
                builders[place].append(key=user.encode(), value=value, timestamp=None)
        for (topic, number), builder in builders.items():
            await producer.send_batch(builder, topic, partition=number)
        await producer.flush()
    finally:
        await producer.stop()
    return size
