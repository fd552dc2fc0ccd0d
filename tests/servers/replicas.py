"""Whether every replica of some topics has everything, which is when one more broker may be lost."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

ASK_SECONDS = 0.5


async def until_in_sync(bootstrap: str, topics: Sequence[str], copies: int, seconds: float = 60.0) -> None:
    """Return when each partition has a leader and `copies` in-sync replicas; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if await _in_sync(bootstrap, topics, copies):
                return
            await asyncio.sleep(ASK_SECONDS)


async def _in_sync(bootstrap: str, topics: Sequence[str], copies: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        described: list[dict[str, Any]] = await admin.describe_topics(list(topics))
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return all(
        partition["leader"] >= 0 and len(partition["isr"]) >= copies
        for topic in described
        for partition in topic["partitions"]
    )
