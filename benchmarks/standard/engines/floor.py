"""The floor: aiokafka's `getmany` and one msgspec call per record, and nothing else. No guarantee, no result.

What a Python process could do at most that fetches and decodes one record at a time.
"""

import asyncio

import aiokafka

from benchmarks.standard.job import decode_purchase
from benchmarks.standard.task import Stopwatch, Task, this_task


async def run(task: Task) -> None:
    """Read the whole topic."""
    stopwatch = Stopwatch(task.events)
    consumer = aiokafka.AIOKafkaConsumer(
        task.topic,
        bootstrap_servers=task.bootstrap,
        group_id=task.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=2 << 20,
    )
    async with consumer:
        while stopwatch.left > 0:
            for records in (await consumer.getmany(timeout_ms=300, max_records=8_000)).values():
                stopwatch.begin()
                purchases = [decode_purchase(record.value) for record in records]
                stopwatch.finished(len(purchases))


if __name__ == "__main__":
    asyncio.run(run(this_task()))
