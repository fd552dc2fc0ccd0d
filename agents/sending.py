"""Sending: what is handed over in one turn of the event loop goes to each broker as one request.

aiokafka's client keeps its own: connections, login, versions, metadata. Its producer makes a request per batch, with
futures, timers and objects around each; a worker of four partitions publishes a dozen small batches a round.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    ProducerClosed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from agents.meters import Meters
from agents.patience import Backoff
from messages.message import Message
from messages.producing import PRODUCE, VERSIONS, Answer, read_answer, request_body, request_head, request_number

log = logging.getLogger(__name__)

#: Most bytes that go to a partition as one batch, well below what a broker takes at once; a larger message goes alone.
BATCH_BYTES = 256 * 1024
#: Most bytes of a request, unless one batch has more, and of such a batch: brokers take no larger ones by default.
REQUEST_BYTES = LARGEST_BYTES = 1 << 20
#: How long a broker, and this side, waits for an answer, as aiokafka's producer does.
REQUEST_TIMEOUT_MS = 40_000
#: Seconds that the answer to a question for leaders is waited for; when it comes later it is used all the same.
METADATA_SECONDS = 5.0
#: Record batches of version 2, not compressed, outside of transactions and without a producer's number.
_BATCH_KIND = (2, 0, 0, -1, -1, 0)
_NO_ANSWER = (-1, -1)  # -1 is Kafka's "unknown error"
_TOO_LARGE = MessageSizeTooLargeError.errno
_partition_of = DefaultPartitioner()


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


class _Waiting(NamedTuple):
    message: Message
    delivery: Delivery


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What is on its way to a partition, once: the next batch waits until the broker has this one."""

    place: TopicPartition
    records: bytearray
    deliveries: list[Delivery]  # by record

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not delivery.done.done() for delivery in self.deliveries)


#: Batches that are to be sent again, and why; without any, None.
_Refused = tuple[list[_Batch], Exception | None]


class Sender:
    """Delivers messages to the partitions' leaders, in the order of each partition, for as long as it takes.

    Never are two requests under way that hold the same partition: what failed is sent again before anything behind it.
    `client` is an aiokafka client that was bootstrapped.
    """

    def __init__(self, client: Any, meters: Meters) -> None:
        self._meters = meters
        self._waiting: dict[TopicPartition, deque[_Waiting]] = {}
        self._under_way: dict[TopicPartition, _Batch] = {}
        self._asked: Counter[int] = Counter()  # requests without an answer, by broker that has any
        self._topics: set[str] = set()  # those that the client keeps itself informed of
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_due = self._is_closed = False
        self.use(client)

    def use(self, client: Any) -> None:
        """From now on send by this client, which was bootstrapped."""
        self.client = client
        client.cluster.add_listener(lambda _: self._wake())  # another broker may lead what waits for a silent one

    async def partition_of(self, topic: str, key: bytes | None) -> int:
        """The partition that Kafka's own partitioner gives to a key, however long its topic is unknown."""
        backoff = Backoff()
        while not (partitions := self.client.cluster.partitions_for_topic(topic)):
            await self._learn([topic])
            if not self.client.cluster.partitions_for_topic(topic):
                self._note(UnknownTopicOrPartitionError(topic))
                await backoff.wait()
        available = self.client.cluster.available_partitions_for_topic(topic)
        return int(_partition_of(key, sorted(partitions), list(available)))

    def send(self, message: Message, partition: int, delivery: Delivery) -> None:
        """Hand a message over; it leaves when this turn of the event loop is over. Raises ProducerClosed."""
        if self._is_closed:
            raise ProducerClosed
        place = message.topic, partition
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[TopicPartition(*place)] = deque()
        waiting.append(_Waiting(message, delivery))
        self._wake()

    async def settle(self) -> None:
        """Wait until nothing is under way, nor waiting to be."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is not delivered: calls that wait for it get ProducerClosed."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(ProducerClosed())

    # --- what leaves

    def _wake(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._begin(self._leave())

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a defect: whoever waits would not hear of it
            self._fail(error)

    def _fail(self, failure: BaseException) -> None:
        """Let everybody know who waits for anything."""
        for batch in self._under_way.values():
            _give_up(batch, failure)
        for _, delivery in chain.from_iterable(self._waiting.values()):
            delivery.settle(-1, failure)
        self._under_way.clear()
        self._waiting.clear()

    async def _leave(self) -> None:
        """Send what waits for partitions of which nothing is under way, to brokers that have answered.

        A broker answers the requests of a connection one after the other: what would wait there is joined here instead.
        """
        self._is_due = False
        ready = [place for place in self._waiting if place not in self._under_way]
        taken = [self._take(place) for place in ready if self._leader(place) not in self._asked]
        await self._route([batch for batch in taken if batch is not None], None)

    def _take(self, place: TopicPartition) -> _Batch | None:
        """A batch of what waits first for a partition; None where nothing does that somebody still wants."""
        waiting = self._waiting[place]
        taken = None
        while waiting and taken is None:
            batch = _batch(place, waiting)
            if len(batch.records) > LARGEST_BYTES:
                _give_up(batch, _too_large(batch))
            elif batch.deliveries:
                taken = self._under_way[place] = batch
        if not waiting:
            del self._waiting[place]
        return taken

    async def _route(self, batches: Iterable[_Batch], backoff: Backoff | None) -> None:
        """Send batches to their partitions' leaders, which may have changed; `backoff` if it is not the first time."""
        of_leader: dict[int | None, list[_Batch]] = {}
        for batch in batches:
            of_leader.setdefault(self._leader(batch.place), []).append(batch)
        ways: list[Coroutine[Any, Any, None]] = []
        for leader, some in of_leader.items():
            if leader is None:
                ways.append(self._find_leaders(some, backoff))
                continue
            for part in _parts(some):
                self._asked[leader] += 1
                ways.append(self._deliver(leader, part, backoff))
        for other in ways[1:]:
            self._begin(other)
        if ways:
            await ways[0]  # nearly always the only one, and on its way a turn of the event loop earlier

    def _leader(self, place: TopicPartition) -> int | None:
        leader: int | None = self.client.cluster.leader_for_partition(place)
        return None if leader == -1 else leader

    # --- what becomes of it

    async def _deliver(self, leader: int, batches: list[_Batch], backoff: Backoff | None) -> None:
        def hear(answer: Answer) -> _Refused:
            self._answered(leader)
            return self._settle(batches, answer)

        refused = batches
        try:
            refused, reason = await self.client.send(leader, _Request(batches, hear))
        except KafkaError as error:
            reason = error
            self._answered(leader)
        except Exception as error:  # whatever it is: those who wait would not hear of it
            log.exception("a request to publish has failed in an unknown way")
            reason = error
            self._answered(leader)
        if reason is not None:
            await self._try_again(reason, refused, backoff)

    def _answered(self, leader: int) -> None:
        self._asked[leader] -= 1
        if not self._asked[leader]:
            del self._asked[leader]
        self._wake()

    def _settle(self, batches: list[_Batch], answer: Answer) -> _Refused:
        """Tell those who wait for what the broker has, or will never take; returns the rest."""
        refused: list[_Batch] = []
        reason: Exception | None = None
        for batch in batches:
            code, offset = answer.get(batch.place, _NO_ANSWER)
            if code == 0:
                self._meters.published(batch.place.topic, len(batch.deliveries))
                for number, delivery in enumerate(batch.deliveries):
                    delivery.settle(offset + number)
            elif code == _TOO_LARGE:
                _give_up(batch, _too_large(batch))
            else:
                reason = for_code(code)(batch.place)
                refused.append(batch)
                continue
            self._under_way.pop(batch.place, None)
        return refused, reason

    async def _try_again(self, reason: Exception, batches: list[_Batch], backoff: Backoff | None) -> None:
        """Send once more, after a while, what somebody still waits for. Nothing else leaves for these partitions."""
        backoff = backoff or Backoff()
        self._note(reason)
        self.client.force_metadata_update()
        await backoff.wait()
        for batch in batches:
            if not batch.is_wanted:
                self._under_way.pop(batch.place, None)
        self._wake()
        await self._route([batch for batch in batches if batch.is_wanted], backoff)

    async def _find_leaders(self, batches: list[_Batch], backoff: Backoff | None) -> None:
        await self._learn({batch.place.topic for batch in batches})
        lost = [batch for batch in batches if self._leader(batch.place) is None]
        if lost:
            self._begin(self._try_again(LeaderNotAvailableError(lost[0].place), lost, backoff))
        await self._route([batch for batch in batches if batch not in lost], backoff)

    async def _learn(self, topics: Iterable[str]) -> None:
        """Ask who leads these topics' partitions, and have the client keep itself informed."""
        if self._topics.issuperset(topics):
            asked = self.client.force_metadata_update()
        else:
            self._topics.update(topics)
            asked = self.client.set_topics(self._topics)
        await asyncio.wait([asked], timeout=METADATA_SECONDS)

    def _note(self, reason: Exception) -> None:
        log.warning("not published, trying again: %r", reason)
        self._meters.retried("broker")


class _Bytes(NamedTuple):
    """What aiokafka's connection wants to encode itself, encoded."""

    text: bytes

    def encode(self) -> bytes:
        """The bytes."""
        return self.text


class _Header(NamedTuple):
    correlation_id: int


class _Request:
    """A request to append batches, as aiokafka's connections want it.

    `hear` is told of the answer while the connection decodes it: those who wait for it go on a turn of the event loop
    earlier than they would if the request's own task had to be woken first.
    """

    def __init__(self, batches: Iterable[_Batch], hear: Callable[[Answer], _Refused]) -> None:
        self._batches, self._hear = batches, hear
        self._version = 0

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> "_Request":
        """Take the newest version that the broker has as well. Raises IncompatibleBrokerVersion."""
        oldest, newest = versions.get(PRODUCE, (0, 0))
        common = [version for version in VERSIONS if oldest <= version <= newest]
        if not common:
            raise IncompatibleBrokerVersion(f"the broker has versions {oldest} to {newest} of Produce")
        self._version = common[-1]
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
    def RESPONSE_TYPE(self) -> "_Request":  # noqa: N802 - aiokafka's
        """What decodes the answer."""
        return self

    def decode(self, answer: BytesIO) -> _Refused:
        """Read what the broker says of each partition. Raises ValueError, which breaks the connection."""
        return self._hear(read_answer(answer.getvalue(), self._version))


def _batch(place: TopicPartition, waiting: deque[_Waiting]) -> _Batch:
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
    return _Batch(place, records.build(), deliveries)


def _parts(batches: list[_Batch]) -> Iterator[list[_Batch]]:
    """The batches in as many requests as it takes for none to be too large."""
    part: list[_Batch] = []
    size = 0
    for batch in batches:
        if part and size + len(batch.records) > REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(batch)
        size += len(batch.records)
    yield part


def _give_up(batch: _Batch, failure: BaseException) -> None:
    for delivery in batch.deliveries:
        delivery.settle(-1, failure)


def _too_large(batch: _Batch) -> KafkaError:
    return MessageSizeTooLargeError(f"a batch of {len(batch.records)} bytes for {batch.place}")
