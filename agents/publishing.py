"""Publishing: a message counts as published once the broker has it on all in-sync replicas."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, ProducerClosed

from agents.batches import REQUEST_TIMEOUT_MS, Delivery
from agents.health import Health
from agents.meters import Meters
from agents.patience import Backoff
from agents.sending import Sender
from messages.message import Message
from messages.topics import CO_PARTITIONED

log = logging.getLogger(__name__)

#: How often the broker is asked whether it is there, and how long it may take to answer, seconds.
PROBE_SECONDS, PROBE_TIMEOUT = 2.0, 5.0
#: How brokers know those who publish decisions, for instance in their quotas.
CLIENT_ID = "duewatch-publisher"
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

    async def publish(self, messages: Sequence[Message], partition: int | None = None) -> None:
        """Return once all of them are delivered, those of a topic in order.

        Decisions go to `partition` of their topic, which is that of the events that led to them; others by their key.
        """
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
        self._calls = _Calls(self._health)
        self._sender: Sender | None = None
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, however long that takes."""
        self._sender = Sender(await self._connected(), self._meters)
        self._probe = asyncio.create_task(self._watch(self._sender), name="broker probe")

    async def stop(self) -> None:
        """Disconnect once what is under way is delivered, or will not be."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        if self._sender is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._sender.settle()
            await self._sender.close()
            await self._sender.client.close()

    async def publish(self, messages: Sequence[Message], partition: int | None = None) -> None:
        """Return once all of them are delivered.

        What a partition's consumer sees last is what was decided last, whatever failed on the way. Raises
        MessageSizeTooLargeError, which no further attempt would cure.
        """
        if not messages:
            return
        sender, delivery = self._started, Delivery(len(messages))
        call = self._calls.begin()
        try:
            for message in messages:
                if partition is None or message.topic not in CO_PARTITIONED:
                    target = await sender.partition_of(message.topic, message.key)
                else:
                    target = partition
                sender.send(message, target, delivery)
            await delivery.done
        finally:
            delivery.done.cancel()
            self._calls.end(call)

    async def record(self, entry: Message, partition: int) -> int:
        """Deliver a journal entry to this partition of its topic; returns the offset that it got."""
        delivery = Delivery(1)
        call = self._calls.begin()
        try:
            self._started.send(entry, partition, delivery)
            return await delivery.done
        finally:
            self._calls.end(call)

    @property
    def _started(self) -> Sender:
        if self._sender is None:
            raise ProducerClosed
        return self._sender

    async def _connected(self) -> Any:
        """A client that has reached a broker, however long that takes."""
        backoff = Backoff()
        while True:
            client = AIOKafkaClient(**self._options, client_id=CLIENT_ID, request_timeout_ms=REQUEST_TIMEOUT_MS)
            try:
                await client.bootstrap()
            except KafkaError as error:
                log.warning("broker unavailable, trying again: %r", error)
                self._health.broker_reachable = False
                self._meters.retried("broker")
                await client.close()
                await backoff.wait()
            else:
                self._health.broker_reachable = True
                return client

    async def _watch(self, sender: Sender) -> None:
        """Ask for metadata now and then, which any broker answers; a client that asks no more is replaced."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if sender.client._sync_task.done():
                dead = sender.client
                sender.use(await self._connected())
                await dead.close()
            try:
                async with asyncio.timeout(PROBE_TIMEOUT):
                    answered = bool(await sender.client.force_metadata_update())
            except (TimeoutError, KafkaError):
                answered = False
            if answered is not self._health.broker_reachable:
                log.warning("a broker answers again" if answered else "no broker answers")
            self._health.broker_reachable = answered


class _Calls:
    """Tells `health` how many calls wait for the broker's word for too long.

    One timer looks after all of them: nearly every call has its answer long before it goes off.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._open: dict[int, float] = {}  # when it began, by number, the oldest first
        self._late: set[int] = set()
        self._begun = 0
        self._is_watched = False

    def begin(self) -> int:
        """A call begins; returns its number."""
        loop = asyncio.get_running_loop()
        self._begun += 1
        self._open[self._begun] = loop.time()
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(LATE_SECONDS, self._look)
        return self._begun

    def end(self, call: int) -> None:
        """The call has its answer, or is given up."""
        self._open.pop(call, None)
        if call in self._late:
            self._late.discard(call)
            self._health.publishing_late -= 1

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._open:
            call, begun = next(iter(self._open.items()))
            if now < begun + LATE_SECONDS:
                loop.call_at(begun + LATE_SECONDS, self._look)
                return
            del self._open[call]
            self._late.add(call)
            self._health.publishing_late += 1
        self._is_watched = False
