"""Publishing: a message counts as published once the broker has it on all in-sync replicas."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import aiokafka
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from agents.meters import Meters
from agents.patience import Backoff
from messages.message import Message

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """Where decisions and dead letters go."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Deliver what is under way and disconnect."""
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once all of them are delivered, in order."""
        ...

    async def record(self, entry: Message, partition: int) -> int:
        """Deliver a journal entry to this partition of its topic; returns an offset that is not after it."""
        ...


class KafkaPublisher:
    """Publishes with acks=all, and tries again for as long as the broker is away.

    `options` are what every aiokafka client of the deployment takes (servers, TLS, login).
    """

    def __init__(self, options: Mapping[str, Any], meters: Meters) -> None:
        self._options, self._meters = options, meters
        self._producer: Any = None

    async def start(self) -> None:
        """Connect. Raises aiokafka.errors.KafkaError where no broker answers."""
        self._producer = aiokafka.AIOKafkaProducer(**self._options, acks="all", linger_ms=1)
        await self._producer.start()

    async def stop(self) -> None:
        """Deliver what is under way and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once all of them are delivered.

        After a failure everything from the first undelivered message on is sent again, so that what a key's consumer
        sees last is what was decided last. Raises MessageSizeTooLargeError, which no further attempt would cure.
        """
        backoff, waiting = Backoff(), messages
        while waiting:
            delivered = await self._deliver(waiting)
            for topic, count in Counter(message.topic for message in waiting[:delivered]).items():
                self._meters.published(topic, count)
            waiting = waiting[delivered:]
            if waiting:
                self._meters.retried("broker")
                await backoff.wait()

    async def record(self, entry: Message, partition: int) -> int:
        """Deliver a journal entry to this partition of its topic; returns the offset that it got."""
        backoff = Backoff()
        while True:
            try:
                delivered = await self._producer.send_and_wait(
                    entry.topic, entry.value, key=entry.key, partition=partition, headers=list(entry.headers)
                )
            except MessageSizeTooLargeError:
                raise
            except KafkaError as error:
                log.warning("not recorded, trying again: %r", error)
                self._meters.retried("broker")
            else:
                offset: int = delivered.offset
                self._meters.published(entry.topic, 1)
                return offset
            await backoff.wait()

    async def _deliver(self, messages: Sequence[Message]) -> int:
        """How many of the messages, from the first on, the broker has."""
        sent: list[Any] = []
        failure: BaseException | None = None
        try:
            for message in messages:
                sent.append(  # noqa: PERF401 - what was sent before a failure must be known
                    await self._producer.send(
                        message.topic, message.value, key=message.key, headers=list(message.headers)
                    )
                )
        except KafkaError as error:
            failure = error
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for number, outcome in enumerate([*outcomes, failure]):
            if isinstance(outcome, MessageSizeTooLargeError) or (
                isinstance(outcome, BaseException) and not isinstance(outcome, KafkaError)
            ):
                raise outcome
            if isinstance(outcome, KafkaError):
                log.warning("not published, trying again: %r", outcome)
                return number
        return len(messages)
