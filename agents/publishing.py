"""Publishing: a message counts as published once the broker has it on all in-sync replicas."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiokafka
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from agents.health import Health
from agents.meters import Meters
from agents.patience import Backoff
from messages.message import Message
from messages.topics import CO_PARTITIONED

log = logging.getLogger(__name__)

#: How often the broker is asked whether it is there, and how long it may take to answer, seconds.
PROBE_SECONDS, PROBE_TIMEOUT = 2.0, 5.0
#: Most bytes that go to a broker as one batch, well below what it takes at once; and what a record's frame may add.
PARCEL_BYTES, FRAME_BYTES = 256 * 1024, 64
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


@dataclass(slots=True)
class _Parcel:
    """Messages of one topic that are sent as one batch to a partition; or a single one, which may be of any size.

    Without a partition the key of the single one decides.
    """

    topic: str
    partition: int | None
    messages: list[Message]
    is_batch: bool
    size: int = 0


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

    async def publish(self, messages: Sequence[Message], partition: int | None = None) -> None:
        """Return once all of them are delivered.

        After a failure everything from the first undelivered parcel on is sent again, so that what a key's consumer
        sees last is what was decided last. Raises MessageSizeTooLargeError, which no further attempt would cure.
        """
        if not messages:
            return
        backoff, waiting = Backoff(), _parcels(messages, partition)
        with self._noting_lateness():
            while waiting:
                delivered = await self._deliver(waiting)
                counts: Counter[str] = Counter()
                for parcel in waiting[:delivered]:
                    counts[parcel.topic] += len(parcel.messages)
                for topic, count in counts.items():
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
                producer = aiokafka.AIOKafkaProducer(**self._options, acks="all", max_batch_size=PARCEL_BYTES)
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

    async def _deliver(self, parcels: Sequence[_Parcel]) -> int:
        """How many of the parcels, from the first on, the broker has."""
        sent: list[Any] = []
        failure: BaseException | None = None
        try:
            for parcel in parcels:
                sent.append(await self._send(parcel))  # noqa: PERF401 - what was sent before a failure must be known
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
        return len(parcels)

    async def _send(self, parcel: _Parcel) -> Any:
        """Hand a parcel to the client; returns the future of its delivery."""
        if not parcel.is_batch or parcel.partition is None:
            (one,) = parcel.messages
            return await self._producer.send(
                one.topic, one.value, key=one.key, headers=list(one.headers), partition=parcel.partition
            )
        batch = self._producer.create_batch()
        for message in parcel.messages:
            batch.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers))
        return await self._producer.send_batch(batch, parcel.topic, partition=parcel.partition)


def _parcels(messages: Sequence[Message], partition: int | None) -> list[_Parcel]:
    """The messages in as few parcels as their sizes allow; those of a topic stay in their order.

    One by one, the client would hash each key anew, and keep books about each message.
    """
    parcels: list[_Parcel] = []
    filling: dict[str, _Parcel] = {}
    for message in messages:
        topic, size = message.topic, _size(message)
        target = partition if topic in CO_PARTITIONED else None
        if target is None or size > PARCEL_BYTES:
            filling.pop(topic, None)
            parcels.append(_Parcel(topic, target, [message], is_batch=False))
            continue
        parcel = filling.get(topic)
        if parcel is None or parcel.size + size > PARCEL_BYTES:
            parcel = filling[topic] = _Parcel(topic, target, [], is_batch=True)
            parcels.append(parcel)
        parcel.messages.append(message)
        parcel.size += size
    return parcels


def _size(message: Message) -> int:
    """Bytes of the message in a batch, at most."""
    headers = sum(len(name) + len(value) + FRAME_BYTES for name, value in message.headers)
    return len(message.value) + len(message.key or b"") + headers + FRAME_BYTES
