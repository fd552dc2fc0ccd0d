import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import ClassVar

import aiokafka
import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    ProducerClosed,
    RequestTimedOutError,
)

from agents import publishing
from agents.health import Health
from agents.meters import SilentMeters
from agents.publishing import KafkaPublisher
from app.embedded import Embedded
from messages.message import Message
from tests.agents.cluster import Cluster


class Counts(SilentMeters):
    """Counts what was published and tried again."""

    def __init__(self) -> None:
        self.by_topic: dict[str, int] = {}
        self.retries = 0

    def published(self, topic: str, messages: int) -> None:
        self.by_topic[topic] = self.by_topic.get(topic, 0) + messages

    def retried(self, dependency: str) -> None:
        assert dependency == "broker"
        self.retries += 1


def messages(count: int) -> list[Message]:
    return [Message("warnings", b"u1", b"%d" % number, (("ce_id", b"%d" % number),)) for number in range(count)]


@pytest.mark.embedded
async def test_what_is_published_is_there_with_keys_and_headers_in_order(group: Cluster) -> None:
    meters = Counts()
    publisher = KafkaPublisher({"bootstrap_servers": group.kafka}, meters)
    await publisher.start()
    try:
        await publisher.publish(messages(50))
    finally:
        await publisher.stop()
    records = await group.read("warnings")
    assert [record.value for record in records] == [message.value for message in messages(50)]
    assert all((record.key, record.headers) == (b"u1", (("ce_id", record.value),)) for record in records)
    assert meters.by_topic == {"warnings": 50}


@pytest.mark.embedded
async def test_decisions_go_to_the_partition_of_their_events_whatever_their_size(group: Cluster) -> None:
    sizes = [10, 200_000, 10, 300_000, 10, 100_000, 170_000]
    sent = [Message("warnings", b"u%d" % size, b"%d " % number * size) for number, size in enumerate(sizes)]
    sent = [Message(m.topic, m.key, m.value[:size], (("n", b"1"),)) for m, size in zip(sent, sizes, strict=True)]
    publisher = KafkaPublisher({"bootstrap_servers": group.kafka}, SilentMeters())
    await publisher.start()
    try:
        await publisher.publish(sent, 2)
    finally:
        await publisher.stop()
    records = await group.read("warnings")
    assert [(record.partition, record.key, record.value) for record in records] == [(2, m.key, m.value) for m in sent]
    assert all(record.headers == (("n", b"1"),) for record in records)


@pytest.mark.embedded
async def test_a_message_that_no_broker_would_take_is_an_error_and_not_tried_for_ever(services: Embedded) -> None:
    publisher = KafkaPublisher({"bootstrap_servers": services.kafka_bootstrap}, SilentMeters())
    await publisher.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await publisher.publish([Message("warnings", b"u1", b"x" * 5_000_000)])
    finally:
        await publisher.stop()


class Batch:
    """What a producer makes a batch of."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, value: bytes, **_: object) -> None:
        self.values.append(value)


class Producer:
    """A producer without a broker: `starts` are what the next ones raise, `failing` what sending a value does once."""

    starts: ClassVar[list[KafkaError | None]] = []
    made: ClassVar[list["Producer"]] = []

    def __init__(self, **_: object) -> None:
        self.sent: list[bytes] = []
        self.failing: dict[bytes, KafkaError] = {}
        self.held: asyncio.Event | None = None
        self.answers = True
        self.stopped = False
        self.client = self
        self._sender = SimpleNamespace(sender_task=asyncio.get_running_loop().create_future())
        Producer.made.append(self)

    async def start(self) -> None:
        failure = Producer.starts.pop(0) if Producer.starts else None
        if failure is not None:
            raise failure

    async def stop(self) -> None:
        self.stopped = True

    async def force_metadata_update(self) -> bool:
        return self.answers

    async def send(self, _topic: str, value: bytes, **_: object) -> object:
        outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.held is not None:
            await self.held.wait()
        if self._sender.sender_task.done():
            raise KafkaError("the sender has died")
        if value in self.failing:
            outcome.set_exception(self.failing.pop(value))
        else:
            self.sent.append(value)
            outcome.set_result(SimpleNamespace(offset=len(self.sent)))
        return outcome

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> object:
        return await self.send(topic, b",".join(batch.values))

    async def send_and_wait(self, topic: str, value: bytes, **_: object) -> object:
        return await (await self.send(topic, value))  # type: ignore[misc]


@pytest.fixture
async def publisher(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaPublisher]:
    """One that has no broker, and does not wait long."""
    monkeypatch.setattr(aiokafka, "AIOKafkaProducer", Producer)
    for name, seconds in (("PROBE_SECONDS", 0.01), ("LATE_SECONDS", 0.01)):
        monkeypatch.setattr(publishing, name, seconds)
    monkeypatch.setattr(Producer, "starts", [])
    monkeypatch.setattr(Producer, "made", [])
    found = KafkaPublisher({}, Counts(), Health(assigned=True, broadcasts_read=True))
    yield found
    await found.stop()


async def ready(publisher: KafkaPublisher, *reasons: str) -> None:
    """Return once the worker is not ready for exactly these reasons."""
    async with asyncio.timeout(10):
        while publisher._health.reasons() != list(reasons):  # noqa: ASYNC110 - nobody is told of a plain field
            await asyncio.sleep(0)


async def test_after_a_failure_everything_from_the_first_undelivered_message_on_is_sent_again_in_order(
    publisher: KafkaPublisher,
) -> None:
    await publisher.start()
    Producer.made[0].failing = {b"2": KafkaConnectionError("gone")}
    await publisher.publish(messages(5))
    assert Producer.made[0].sent == [b"0", b"1", b"3", b"4", b"2", b"3", b"4"]
    meters = publisher._meters
    assert isinstance(meters, Counts)
    assert (meters.by_topic, meters.retries) == ({"warnings": 5}, 1)


async def test_after_a_failure_parcels_from_the_first_undelivered_one_on_are_sent_again_in_order(
    publisher: KafkaPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PARCEL_BYTES", 2 * publishing._size(messages(1)[0]))
    await publisher.start()
    Producer.made[0].failing = {b"2,3": KafkaConnectionError("gone")}
    await publisher.publish(messages(5), 7)
    assert Producer.made[0].sent == [b"0,1", b"4", b"2,3", b"4"]
    meters = publisher._meters
    assert isinstance(meters, Counts)
    assert (meters.by_topic, meters.retries) == ({"warnings": 5}, 1)


@pytest.mark.parametrize("error", [NotEnoughReplicasError, RequestTimedOutError, ProducerClosed, KafkaTimeoutError])
async def test_whatever_the_broker_refuses_for_now_is_sent_until_it_is_there(
    publisher: KafkaPublisher, error: type[KafkaError]
) -> None:
    await publisher.start()
    Producer.made[0].failing = {b"0": error(), b"1": error()}
    await publisher.publish(messages(2))
    assert Producer.made[0].sent[-2:] == [b"0", b"1"]
    Producer.made[0].failing = {b"entry": error()}
    assert await publisher.record(Message("journal", b"3", b"entry"), 3) > 0


async def test_a_broker_that_is_away_at_the_start_is_waited_for(publisher: KafkaPublisher) -> None:
    Producer.starts = [KafkaConnectionError("refused"), KafkaConnectionError("refused")]
    starting = asyncio.create_task(publisher.start())
    await ready(publisher, "no broker answers")
    await starting
    await publisher.publish(messages(1))
    assert [producer.stopped for producer in Producer.made] == [True, True, False]
    await ready(publisher)


async def test_a_producer_whose_sender_has_died_is_replaced(publisher: KafkaPublisher) -> None:
    await publisher.start()
    Producer.made[0]._sender.sender_task.set_result(None)
    await publisher.publish(messages(2))
    assert Producer.made[1].sent == [b"0", b"1"]


async def test_a_broker_that_answers_no_more_is_noticed_while_there_is_nothing_to_publish(
    publisher: KafkaPublisher,
) -> None:
    await publisher.start()
    Producer.made[0].answers = False
    await ready(publisher, "no broker answers")
    Producer.made[0].answers = True
    await ready(publisher)


async def test_messages_that_are_not_confirmed_for_a_while_make_a_worker_unready(publisher: KafkaPublisher) -> None:
    await publisher.start()
    held = Producer.made[0].held = asyncio.Event()
    calls = [asyncio.create_task(publisher.publish(messages(1))) for _ in range(2)]
    await ready(publisher, "the broker does not confirm what is published")
    held.set()
    await asyncio.gather(*calls)
    await ready(publisher)
