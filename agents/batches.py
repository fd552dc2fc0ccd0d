"""Batches of messages on their way to a broker, and the requests that hold them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from aiokafka.errors import IncompatibleBrokerVersion, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from messages.message import Message
from messages.producing import PRODUCE, VERSIONS, Answer, read_answer, request_body, request_head, request_number

#: Most bytes that go to a partition as one batch, well below what a broker takes at once; a larger message goes alone.
BATCH_BYTES = 256 * 1024
#: Most bytes of a request, unless one batch has more, and of such a batch: brokers take no larger ones by default.
REQUEST_BYTES = LARGEST_BYTES = 1 << 20
#: How long a broker, and this side, waits for an answer, as aiokafka's producer does.
REQUEST_TIMEOUT_MS = 40_000
#: Record batches of version 2, not compressed, outside of transactions and without a producer's number.
_BATCH_KIND = (2, 0, 0, -1, -1, 0)


class Delivery:
    """What one call hands over: `done` has the offset of its last message once the broker has all of them.

    Where some are refused for good, the others are delivered all the same before `done` has the error. Whoever cancels
    `done` takes back what is not on its way yet.
    """

    __slots__ = ("_failure", "_left", "done")

    def __init__(self, messages: int) -> None:
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._left = messages
        self._failure: BaseException | None = None

    def settle(self, offset: int, failure: BaseException | None = None) -> None:
        """One more message is delivered, or given up with a failure."""
        self._left -= 1
        self._failure = self._failure or failure
        if self._left or self.done.done():
            return
        if self._failure is None:
            self.done.set_result(offset)
        else:
            self.done.set_exception(self._failure)


class Waiting(NamedTuple):
    """A message that is not on its way yet."""

    message: Message
    delivery: Delivery


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What is on its way to a partition, once: the next batch waits until the broker has this one."""

    place: TopicPartition
    records: bytearray
    deliveries: list[Delivery]  # by record

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not delivery.done.done() for delivery in self.deliveries)

    def give_up(self, failure: BaseException) -> None:
        """Tell those who wait that it will not be delivered."""
        for delivery in self.deliveries:
            delivery.settle(-1, failure)

    def too_large(self) -> MessageSizeTooLargeError:
        """What is wrong with it where no broker takes it."""
        return MessageSizeTooLargeError(f"a batch of {len(self.records)} bytes for {self.place}")


def next_batch(place: TopicPartition, waiting: deque[Waiting]) -> Batch:
    """Take as many as fit into one batch, at least one, from the front; what nobody wants any more is left out."""
    records = DefaultRecordBatchBuilder(*_BATCH_KIND, BATCH_BYTES)
    deliveries: list[Delivery] = []
    while waiting:
        message, delivery = waiting[0]
        if not delivery.done.done():
            headers = list(message.headers)
            if records.append(len(deliveries), None, message.key, message.value, headers) is None:
                break
            deliveries.append(delivery)
        waiting.popleft()
    return Batch(place, records.build(), deliveries)


def parts(batches: list[Batch]) -> Iterator[list[Batch]]:
    """The batches in as many requests as it takes for none to be too large."""
    part: list[Batch] = []
    size = 0
    for batch in batches:
        if part and size + len(batch.records) > REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(batch)
        size += len(batch.records)
    yield part


class _Bytes(NamedTuple):
    """What aiokafka's connection wants to encode itself, encoded."""

    text: bytes

    def encode(self) -> bytes:
        """The bytes."""
        return self.text


class _Header(NamedTuple):
    correlation_id: int


class Request:
    """A request to append batches, as aiokafka's connections want it.

    `hear` is told of the answer while the connection decodes it: those who wait for it go on a turn of the event loop
    earlier than they would if the request's own task had to be woken first.
    """

    def __init__(self, batches: Iterable[Batch], hear: Callable[[Answer], None]) -> None:
        self._batches, self._hear = batches, hear
        self._version = 0

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> "Request":
        """Take the newest version that the broker has as well. Raises IncompatibleBrokerVersion."""
        oldest, newest = versions.get(PRODUCE, (0, 0))
        self._version = min(newest, VERSIONS[-1])
        if self._version < max(oldest, VERSIONS[0]):
            raise IncompatibleBrokerVersion(f"the broker has versions {oldest} to {newest} of Produce")
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> _Bytes:
        """The beginning of the request."""
        return _Bytes(request_head(self._version, correlation_id, client_id))

    def encode(self) -> bytes:
        """The rest of the request."""
        of_topic: dict[str, list[tuple[int, bytearray]]] = {}
        for batch in self._batches:
            of_topic.setdefault(batch.place.topic, []).append((batch.place.partition, batch.records))
        return request_body(of_topic, REQUEST_TIMEOUT_MS)

    def parse_response_header(self, answer: BytesIO) -> _Header:
        """The number of the request that this answers. Raises ValueError."""
        return _Header(request_number(answer.getvalue()))

    @property
    def RESPONSE_TYPE(self) -> "Request":  # noqa: N802 - aiokafka's
        """What decodes the answer."""
        return self

    def decode(self, answer: BytesIO) -> None:
        """Read what the broker says of each partition. Raises ValueError, which breaks the connection."""
        self._hear(read_answer(answer.getvalue(), self._version))
