"""Publishes the stream in the background, at a steady rate, without ever repeating or losing a record by itself."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiokafka

from tests.faults.stream import Record

TICK_SECONDS = 0.05
#: How much faster than the rate it may go to make up for brokers that were away.
CATCHING_UP = 3


class Sender:
    """Sends `records` at `rate` a second; by an idempotent producer, so that what a broker did not confirm in time is
    there once.
    """

    def __init__(self, bootstrap: str, records: Iterable[Record], rate: float) -> None:
        self.rate = rate
        self.sent: Counter[str] = Counter()  # by topic
        self.withheld: Counter[str] = Counter()
        self.held: set[str] = set()  # topics that get nothing for now
        self._records = iter(records)
        self._failure: BaseException | None = None
        self._producer: Any = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=300_000,  # after it a batch would be given up
            metadata_max_age_ms=5_000,
        )

    async def run(self) -> None:
        """Return when everything is sent and confirmed."""
        await self._producer.start()
        try:
            due, last = 0.0, time.monotonic()
            while True:
                await asyncio.sleep(TICK_SECONDS)
                now = time.monotonic()
                due, last = due + (now - last) * self.rate, now
                most = min(int(due), int(self.rate * TICK_SECONDS * CATCHING_UP) + 1)
                for _ in range(most):
                    record = next(self._records, None)
                    if record is None:
                        await self._producer.flush()
                        self._check()
                        return
                    await self._send(record)
                due -= most
                self._check()
        finally:
            await self._producer.stop()

    async def flush(self) -> None:
        """Return when everything sent so far is confirmed."""
        await self._producer.flush()

    async def _send(self, record: Record) -> None:
        if record.topic in self.held:
            self.withheld[record.topic] += 1
            return
        delivery = await self._producer.send(record.topic, record.value, key=record.key)
        delivery.add_done_callback(self._delivered)
        self.sent[record.topic] += 1

    def _delivered(self, delivery: "asyncio.Future[Any]") -> None:
        if not delivery.cancelled() and delivery.exception() is not None:
            self._failure = self._failure or delivery.exception()

    def _check(self) -> None:
        if self._failure is not None:
            raise RuntimeError("the generator could not deliver a record") from self._failure
