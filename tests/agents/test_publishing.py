import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

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
async def test_a_message_that_no_broker_would_take_is_an_error_and_not_tried_for_ever(services: Embedded) -> None:
    publisher = KafkaPublisher({"bootstrap_servers": services.kafka_bootstrap}, SilentMeters())
    await publisher.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await publisher.publish([Message("warnings", b"u1", b"x" * 5_000_000)])
    finally:
        await publisher.stop()


async def test_after_a_failure_everything_from_the_first_undelivered_message_on_is_sent_again_in_order() -> None:
    class Flaky:
        """A producer whose third message fails once."""

        def __init__(self) -> None:
            self.sent: list[bytes] = []
            self.failed = False

        async def send(self, _topic: str, value: bytes, **_: object) -> object:
            import asyncio

            outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if value == b"2" and not self.failed:
                self.failed = True
                outcome.set_exception(KafkaConnectionError("gone"))
            else:
                self.sent.append(value)
                outcome.set_result(None)
            return outcome

    meters = Counts()
    publisher = KafkaPublisher({}, meters)
    flaky = Flaky()
    publisher._producer = flaky
    await publisher.publish(messages(5))
    assert flaky.sent == [b"0", b"1", b"3", b"4", b"2", b"3", b"4"]
    assert (meters.by_topic, meters.retries) == ({"warnings": 5}, 1)
