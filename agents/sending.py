"""Sending: what is handed over in one turn of the event loop goes to each broker as one request.

aiokafka's client keeps its own: connections, login, metadata. What its producer has around each batch (futures, timers,
waiting tasks, requests that are made of schemas) costs more than the batches of a worker with little to say.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Coroutine, Iterable
from itertools import chain
from typing import Any

from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    ProducerClosed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition

from agents.batches import LARGEST_BYTES, Batch, Delivery, Request, Waiting, next_batch, parts
from agents.meters import Meters
from agents.patience import Backoff
from messages.message import Message
from messages.producing import Answer

log = logging.getLogger(__name__)

#: Seconds that the answer to a question for leaders is waited for; when it comes later it is used all the same.
METADATA_SECONDS = 5.0
_NO_ANSWER = (-1, -1)  # -1 is Kafka's "unknown error"
_TOO_LARGE = MessageSizeTooLargeError.errno
_partition_of = DefaultPartitioner()


class Sender:
    """Delivers messages to the partitions' leaders, in the order of each partition, for as long as it takes.

    Never are two requests under way that hold the same partition: what failed is sent again before anything behind it.
    `client` is an aiokafka client that was bootstrapped.
    """

    def __init__(self, client: Any, meters: Meters) -> None:
        self._meters = meters
        self._waiting: dict[TopicPartition, deque[Waiting]] = {}
        self._under_way: dict[TopicPartition, Batch] = {}
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
        waiting.append(Waiting(message, delivery))
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
        if self._waiting and not self._is_due and not self._is_closed:
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
            batch.give_up(failure)
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

    def _take(self, place: TopicPartition) -> Batch | None:
        """A batch of what waits first for a partition; None where nothing does that somebody still wants."""
        waiting = self._waiting[place]
        taken = None
        while waiting and taken is None:
            batch = next_batch(place, waiting)
            if len(batch.records) > LARGEST_BYTES:
                batch.give_up(batch.too_large())
            elif batch.deliveries:
                taken = self._under_way[place] = batch
        if not waiting:
            del self._waiting[place]
        return taken

    async def _route(self, batches: Iterable[Batch], backoff: Backoff | None) -> None:
        """Send batches to their partitions' leaders, which may have changed; `backoff` if it is not the first time."""
        of_leader: dict[int | None, list[Batch]] = {}
        for batch in batches:
            of_leader.setdefault(self._leader(batch.place), []).append(batch)
        ways: list[Coroutine[Any, Any, None]] = []
        for leader, some in of_leader.items():
            if leader is None:
                ways.append(self._find_leaders(some, backoff))
                continue
            for part in parts(some):
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

    async def _deliver(self, leader: int, batches: list[Batch], backoff: Backoff | None) -> None:
        heard: list[tuple[list[Batch], Exception | None]] = []

        def hear(answer: Answer) -> None:
            heard.append(self._settle(batches, answer))
            self._answered(leader)  # now, so that what those who waited hand over next is joined to what waits here

        failure: Exception | None = None
        try:
            await self.client.send(leader, Request(batches, hear))
        except KafkaError as error:
            failure = error
        except Exception as error:  # whatever it is: those who wait would not hear of it
            log.exception("a request to publish has failed in an unknown way")
            failure = error
        if not heard:  # an answer may come in the very moment in which it is given up
            heard.append((batches, failure))
            self._answered(leader)
        refused, reason = heard[0]
        if reason is not None:
            await self._try_again(reason, refused, backoff)

    def _answered(self, leader: int) -> None:
        self._asked[leader] -= 1
        if not self._asked[leader]:
            del self._asked[leader]
        self._wake()

    def _settle(self, batches: list[Batch], answer: Answer) -> tuple[list[Batch], Exception | None]:
        """Tell those who wait for what the broker has, or will never take; returns the rest, and why it is refused."""
        refused: list[Batch] = []
        reason: Exception | None = None
        for batch in batches:
            code, offset = answer.get(batch.place, _NO_ANSWER)
            if code == 0:
                self._meters.published(batch.place.topic, len(batch.deliveries))
                for number, delivery in enumerate(batch.deliveries):
                    delivery.settle(offset + number)
            elif code == _TOO_LARGE:
                batch.give_up(batch.too_large())
            else:
                reason = for_code(code)(batch.place)
                refused.append(batch)
                continue
            self._under_way.pop(batch.place, None)
        return refused, reason

    async def _try_again(self, reason: Exception, batches: list[Batch], backoff: Backoff | None) -> None:
        """Send once more, after a while, what somebody still waits for. Nothing else leaves for these partitions."""
        backoff = backoff or Backoff()
        self._note(reason)
        self.client.force_metadata_update()
        await backoff.wait()
        for batch in batches:
            if not batch.is_wanted:
                self._under_way.pop(batch.place, None)
        self._wake()
        # In a task of its own: attempts that awaited each other would reach the end of the stack within the hour.
        self._begin(self._route([batch for batch in batches if batch.is_wanted], backoff))

    async def _find_leaders(self, batches: list[Batch], backoff: Backoff | None) -> None:
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
