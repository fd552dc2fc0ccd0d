import asyncio
from collections.abc import AsyncIterator, Callable

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
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents import batches, publishing
from agents.health import Health
from agents.meters import SilentMeters
from agents.publishing import KafkaPublisher
from app.embedded import Embedded
from messages.message import Message
from tests.agents.cluster import Cluster
from tests.agents.leaders import Leaders
from tests.agents.wire import Act, wire


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


@pytest.fixture
async def publisher(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaPublisher]:
    """One that has no broker, and does not wait long."""
    monkeypatch.setattr(publishing, "AIOKafkaClient", Leaders)
    for name, seconds in (("PROBE_SECONDS", 0.01), ("LATE_SECONDS", 0.01)):
        monkeypatch.setattr(publishing, name, seconds)
    monkeypatch.setattr(Leaders, "starts", [])
    monkeypatch.setattr(Leaders, "made", [])
    monkeypatch.setattr(Leaders, "faults", [])
    found = KafkaPublisher({}, Counts(), Health(assigned=True, broadcasts_read=True))
    yield found
    await found.stop()
    assert not Leaders.faults


async def ready(publisher: KafkaPublisher, *reasons: str) -> None:
    """Return once the worker is not ready for exactly these reasons."""
    async with asyncio.timeout(10):
        while publisher._health.reasons() != list(reasons):  # noqa: ASYNC110 - nobody is told of a plain field
            await asyncio.sleep(0)


async def until(reached: Callable[[], bool]) -> None:
    """Return once something is so that nobody tells."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


def room_for(count: int) -> int:
    """Bytes of a batch with room for so many of `messages`, and for a part of the next."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for number, message in enumerate(messages(count)):
        batch.append(number, None, message.key, message.value, list(message.headers))
    return len(batch.build()) + 5


async def test_after_a_failure_everything_from_the_first_undelivered_message_on_is_sent_again_in_order(
    publisher: KafkaPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", room_for(1))
    await publisher.start()
    Leaders.made[0].refusals = {b"2": [KafkaConnectionError("gone")]}
    await publisher.publish(messages(5))
    assert Leaders.made[0].tried == [b"0", b"1", b"2", b"2", b"3", b"4"]
    (log,) = Leaders.made[0].logs.values()
    assert log == [b"0", b"1", b"2", b"3", b"4"]
    meters = publisher._meters
    assert isinstance(meters, Counts)
    assert (meters.by_topic, meters.retries) == ({"warnings": 5}, 1)


async def test_after_a_failure_batches_from_the_first_undelivered_one_on_are_sent_again_in_order(
    publisher: KafkaPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", room_for(2))
    await publisher.start()
    Leaders.made[0].refusals = {b"2,3": [KafkaConnectionError("gone")]}
    await publisher.publish(messages(5), 7)
    assert Leaders.made[0].tried == [b"0,1", b"2,3", b"2,3", b"4"]
    assert Leaders.made[0].logs == {("warnings", 7): [b"0", b"1", b"2", b"3", b"4"]}
    meters = publisher._meters
    assert isinstance(meters, Counts)
    assert (meters.by_topic, meters.retries) == ({"warnings": 5}, 1)


@pytest.mark.parametrize("error", [NotEnoughReplicasError, RequestTimedOutError, ProducerClosed, KafkaTimeoutError])
async def test_whatever_the_broker_refuses_for_now_is_sent_until_it_is_there(
    publisher: KafkaPublisher, error: type[KafkaError]
) -> None:
    await publisher.start()
    Leaders.made[0].refusals = {b"0,1": [error(), error()]}
    await publisher.publish(messages(2))
    assert list(Leaders.made[0].logs.values()) == [[b"0", b"1"]]
    Leaders.made[0].refusals = {b"entry": [error()]}
    assert await publisher.record(Message("journal", b"3", b"entry"), 3) == 0
    assert await publisher.record(Message("journal", b"3", b"next"), 3) == 1


async def test_a_broker_that_is_away_at_the_start_is_waited_for(publisher: KafkaPublisher) -> None:
    Leaders.starts = [KafkaConnectionError("refused"), KafkaConnectionError("refused")]
    starting = asyncio.create_task(publisher.start())
    await ready(publisher, "no broker answers")
    await starting
    await publisher.publish(messages(1))
    assert [client.closed for client in Leaders.made] == [True, True, False]
    await ready(publisher)


async def test_a_client_whose_metadata_task_has_died_is_replaced(publisher: KafkaPublisher) -> None:
    await publisher.start()
    Leaders.made[0].refusals = {b"0,1": [KafkaConnectionError("gone")] * 1_000}
    Leaders.made[0]._sync_task.set_result(None)
    await publisher.publish(messages(2))
    assert list(Leaders.made[1].logs.values()) == [[b"0", b"1"]]
    assert [client.closed for client in Leaders.made] == [True, False]


async def test_a_broker_that_answers_no_more_is_noticed_while_there_is_nothing_to_publish(
    publisher: KafkaPublisher,
) -> None:
    await publisher.start()
    Leaders.made[0].answers = False
    await ready(publisher, "no broker answers")
    Leaders.made[0].answers = True
    await ready(publisher)


async def test_messages_that_are_not_confirmed_for_a_while_make_a_worker_unready(publisher: KafkaPublisher) -> None:
    await publisher.start()
    held = Leaders.made[0].held = asyncio.Event()
    calls = [asyncio.create_task(publisher.publish(messages(1))) for _ in range(2)]
    await ready(publisher, "the broker does not confirm what is published")
    await until(lambda: publisher._health.publishing_late == len(calls))
    held.set()
    await asyncio.gather(*calls)
    assert publisher._health.publishing_late == 0
    await ready(publisher)


class Clock:
    """An event loop whose time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.call_at(self.now + seconds, call)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.timers.append((when, call))

    def go_on(self, seconds: float) -> None:
        """Let time pass, and what is due happen at its moment."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= until]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = until


def test_a_call_is_late_from_its_own_moment_on_until_it_has_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, health = Clock(), Health()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    calls = publishing._Calls(health)
    answered, first = calls.begin(), calls.begin()
    clock.go_on(3)
    calls.end(answered)
    second = calls.begin()
    clock.go_on(1.9)
    assert health.publishing_late == 0
    clock.go_on(0.2)
    assert health.publishing_late == 1
    clock.go_on(2.8)
    assert health.publishing_late == 1
    clock.go_on(0.2)
    assert health.publishing_late == 2
    calls.end(first)
    assert health.publishing_late == 1
    calls.end(second)
    assert health.publishing_late == 0
    clock.go_on(20)
    assert clock.timers == [], "a timer goes off while there is nothing to look after"
    third = calls.begin()
    clock.go_on(5.1)
    assert health.publishing_late == 1
    calls.end(third)
    assert health.publishing_late == 0


async def test_a_late_call_that_is_given_up_is_not_late_any_more(publisher: KafkaPublisher) -> None:
    await publisher.start()
    Leaders.made[0].held = asyncio.Event()
    calls = [asyncio.create_task(publisher.record(Message("journal", b"1", b"late"), number)) for number in range(3)]
    await ready(publisher, "the broker does not confirm what is published")
    await until(lambda: publisher._health.publishing_late == len(calls))
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert publisher._health.publishing_late == 0
    Leaders.made[0].held.set()


async def test_a_call_that_is_given_up_while_it_waits_for_a_topic_takes_back_what_it_handed_over(
    publisher: KafkaPublisher,
) -> None:
    await publisher.start()
    client = Leaders.made[0]
    client.held = asyncio.Event()
    first = asyncio.create_task(publisher.publish(messages(1), 3))
    await until(lambda: bool(client.requests))
    client.cluster.topics["dead-letters"] = 0
    lost = [Message("warnings", b"u1", b"lost"), Message("dead-letters", b"u1", b"letter")]
    call = asyncio.create_task(publisher.publish(lost, 3))
    await until(lambda: {"dead-letters"} in client.learned)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    client.held.set()
    await first
    await publisher.publish([Message("warnings", b"u1", b"next")], 3)
    assert client.logs == {("warnings", 3): [b"0", b"next"]}


async def test_before_the_start_and_after_the_end_nothing_is_published(publisher: KafkaPublisher) -> None:
    with pytest.raises(ProducerClosed):
        await publisher.publish(messages(1), 1)
    await publisher.start()
    await publisher.stop()
    with pytest.raises(ProducerClosed):
        await publisher.record(messages(1)[0], 1)
    assert Leaders.made[0].closed


async def test_at_the_end_what_is_under_way_is_delivered_or_given_up_after_a_while(
    publisher: KafkaPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publisher.start()
    held = Leaders.made[0].held = asyncio.Event()
    call = asyncio.create_task(publisher.publish(messages(1), 1))
    await until(lambda: bool(Leaders.made[0].requests))
    stopping = asyncio.create_task(publisher.stop())
    held.set()
    await stopping
    await call
    await publisher.start()
    Leaders.made[1].held = asyncio.Event()
    monkeypatch.setattr(publishing, "STOP_SECONDS", 0.01)
    call = asyncio.create_task(publisher.publish(messages(1), 1))
    await until(lambda: bool(Leaders.made[1].requests))
    await publisher.stop()
    with pytest.raises(ProducerClosed):
        await call


@pytest.mark.parametrize("act", ["lost", "late", "cut"])
async def test_a_request_without_a_whole_answer_is_sent_again_and_nothing_overtakes_it(act: Act) -> None:
    async with wire() as broker, asyncio.timeout(20):
        publisher = KafkaPublisher({"bootstrap_servers": broker.bootstrap}, Counts())
        await publisher.start()
        try:
            broker.acts.extend([act, act])
            entries = [Message("journal", b"k", b"%d" % number) for number in range(8)]
            await asyncio.gather(*(publisher.record(entry, number % 4) for number, entry in enumerate(entries)))
            assert await publisher.record(entries[0], 0) == len(broker.logs[0]) - 1
        finally:
            await publisher.stop()
    appended = 1 if act == "lost" else 3
    batches = {number: [b"%d" % number, b"%d" % (number + 4)] for number in range(4)}
    assert broker.logs == {
        **{number: log * appended for number, log in batches.items()},
        0: batches[0] * appended + [b"0"],
    }
    assert broker.requests[:3] == [("duewatch-publisher", [0, 1, 2, 3])] * 3
    meters = publisher._meters
    assert isinstance(meters, Counts)
    assert (meters.by_topic, meters.retries) == ({"journal": 9}, 2)


async def test_a_broker_that_goes_away_in_the_middle_gets_everything_in_order_when_it_is_back() -> None:
    health = Health(assigned=True, broadcasts_read=True)
    async with wire() as broker, asyncio.timeout(20):
        publisher = KafkaPublisher({"bootstrap_servers": broker.bootstrap}, SilentMeters(), health)
        await publisher.start()
        try:
            await publisher.record(Message("journal", b"k", b"0"), 1)
            await broker.stop()
            calls = []
            for number in range(1, 6):
                calls.append(asyncio.create_task(publisher.record(Message("journal", b"k", b"%d" % number), 1)))
                await asyncio.sleep(0)
            assert not (await asyncio.wait(calls, timeout=0))[0]
            await broker.start()
            assert await asyncio.gather(*calls) == [1, 2, 3, 4, 5]
        finally:
            await publisher.stop()
    assert broker.logs == {1: [b"0", b"1", b"2", b"3", b"4", b"5"]}
