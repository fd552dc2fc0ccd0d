"""Publishing: a message counts as published once the broker has it on all in-sync replicas."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import aiokafka
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from agents.health import Health
from agents.meters import Meters
from agents.patience import Backoff
from messages.message import Message

log = logging.getLogger(__name__)

#: How often the broker is asked whether it is there, and how long it may take to answer, seconds.
PROBE_SECONDS, PROBE_TIMEOUT = 2.0, 5.0
#: Seconds after which messages that are not confirmed count as late.
LATE_SECONDS = 5.0
#: Seconds that what is under way gets at the end: the outbox has it, so the next owner publishes it anyway.
STOP_SECONDS = 10.0


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
    """Publishes with acks=all, and tries again for as long as the broker is away, also at the start.

    `options` are what every aiokafka client of the deployment takes (servers, TLS, login). `health` hears whether a
    broker answers, which is looked at also while there is nothing to publish.
    """

    def __init__(self, options: Mapping[str, Any], meters: Meters, health: Health | None = None) -> None:
        self._options, self._meters, self._health = options, meters, health or Health()
        self._producer: Any = None
        self._connecting = asyncio.Lock()
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, however long that takes."""
        await self._connect()
        self._probe = asyncio.create_task(self._watch(), name="broker probe")

    async def stop(self) -> None:
        """Disconnect once what is under way is delivered, or will not be."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._producer.stop()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return once all of them are delivered.

        After a failure everything from the first undelivered message on is sent again, so that what a key's consumer
        sees last is what was decided last. Raises MessageSizeTooLargeError, which no further attempt would cure.
        """
        backoff, waiting = Backoff(), messages
        with self._noting_lateness():
            while waiting:
                delivered = await self._deliver(waiting)
                for topic, count in Counter(message.topic for message in waiting[:delivered]).items():
                    self._meters.published(topic, count)
                waiting = waiting[delivered:]
                if waiting:
                    await self._try_again(backoff)

    async def record(self, entry: Message, partition: int) -> int:
        """Deliver a journal entry to this partition of its topic; returns the offset that it got."""
        backoff = Backoff()
        with self._noting_lateness():
            while True:
                try:
                    delivered = await self._producer.send_and_wait(
                        entry.topic, entry.value, key=entry.key, partition=partition, headers=list(entry.headers)
                    )
                except MessageSizeTooLargeError:
                    raise
                except KafkaError as error:
                    log.warning("not recorded, trying again: %r", error)
                else:
                    offset: int = delivered.offset
                    self._meters.published(entry.topic, 1)
                    return offset
                await self._try_again(backoff)

    async def _try_again(self, backoff: Backoff) -> None:
        self._meters.retried("broker")
        await backoff.wait()
        await self._connect()

    async def _connect(self) -> None:
        """Have a producer that works, however long that takes; one whose sender has died sends nothing any more."""
        backoff = Backoff()
        async with self._connecting:
            while self._producer is None or self._producer._sender.sender_task.done():
                producer = aiokafka.AIOKafkaProducer(**self._options, acks="all", linger_ms=1)
                try:
                    await producer.start()
                except KafkaError as error:
                    log.warning("broker unavailable, trying again: %r", error)
                    self._health.broker_reachable = False
                    self._meters.retried("broker")
                    await producer.stop()
                    await backoff.wait()
                else:
                    self._producer = producer
                    self._health.broker_reachable = True

    @contextlib.contextmanager
    def _noting_lateness(self) -> Iterator[None]:
        """Let `health` know while a call waits for the broker's word for too long."""
        late = 0

        def note() -> None:
            nonlocal late
            late = 1
            self._health.publishing_late += 1

        timer = asyncio.get_running_loop().call_later(LATE_SECONDS, note)
        try:
            yield
        finally:
            timer.cancel()
            self._health.publishing_late -= late

    async def _watch(self) -> None:
        """Ask for metadata now and then, which any broker answers."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with asyncio.timeout(PROBE_TIMEOUT):
                    answered = bool(await self._producer.client.force_metadata_update())
            except (TimeoutError, KafkaError):
                answered = False
            if answered is not self._health.broker_reachable:
                log.warning("a broker answers again" if answered else "no broker answers")
            self._health.broker_reachable = answered

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
