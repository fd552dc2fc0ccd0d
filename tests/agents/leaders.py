"""Brokers without a network: what an aiokafka client asks of them, what they answer, and what then is in their logs."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.errors import KafkaError
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.record.memory_records import MemoryRecords

Place = tuple[str, int]


class Cluster:
    """Who leads which partition: broker 1, unless `leaders` names another one. `topics` have so many partitions."""

    def __init__(self) -> None:
        self.topics: defaultdict[str, int] | dict[str, int] = defaultdict(lambda: 8)
        self.leaders: dict[Place, int | None] = {}
        self.listeners: list[Any] = []

    def leader_for_partition(self, place: Place) -> int | None:
        return self.leaders.get(place, 1)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self.topics[topic])) if self.topics.get(topic, 8) else None

    def available_partitions_for_topic(self, topic: str) -> set[int]:
        return self.partitions_for_topic(topic) or set()

    def add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)


class Leaders:
    """An aiokafka client; `starts` are what the next ones raise at the start.

    `refusals` has, by the values of a batch joined with commas, what its broker says to it, one after the other: errors
    of Kafka's protocol are the answer for this partition, other exceptions break the request. What is refused is in the
    log all the same where it is in `appended`, too. `faults` are requests that no broker should get.
    """

    starts: ClassVar[list[KafkaError | None]] = []
    made: ClassVar[list["Leaders"]] = []
    faults: ClassVar[list[str]] = []

    def __init__(self, **_: object) -> None:
        self.cluster = Cluster()
        self.requests: list[tuple[int, dict[Place, list[bytes]]]] = []
        self.logs: defaultdict[Place, list[bytes]] = defaultdict(list)
        self.tried: list[bytes] = []  # batches, in the order in which brokers got them
        self.refusals: dict[bytes, list[Exception | None]] = {}
        self.appended: set[bytes] = set()
        self.silent: set[Place] = set()  # answers say nothing of these, once
        self.fails_after_answer: list[Exception] = []
        self.held: asyncio.Event | None = None
        self.answers = True
        self.closed = False
        self.under_way: set[Place] = set()
        self.learned: list[set[str]] = []
        self.on_metadata: Any = None
        self._sync_task: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        Leaders.made.append(self)

    async def bootstrap(self) -> None:
        failure = Leaders.starts.pop(0) if Leaders.starts else None
        if failure is not None:
            raise failure

    async def close(self) -> None:
        self.closed = True

    def force_metadata_update(self) -> asyncio.Future[bool]:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        told.set_result(self.answers)
        if self.on_metadata is not None:
            self.on_metadata()
        for listener in self.cluster.listeners:
            listener(self.cluster)
        return told

    def set_topics(self, topics: set[str]) -> asyncio.Future[bool]:
        self.learned.append(set(topics))
        return self.force_metadata_update()

    async def send(self, leader: int, request: Any) -> None:
        """A request to a broker and its answer, both as bytes."""
        asked = request.prepare({0: (0, 7)})
        batches = self._batches(asked.build_request_header(correlation_id=5, client_id="c").encode() + asked.encode())
        self._hold(not self.under_way & set(batches), "requests that hold the same partition are under way")
        self._hold(leader > 0, f"there is no broker {leader}")
        self.requests.append((leader, batches))
        self.under_way |= set(batches)
        try:
            await (self.held.wait() if self.held is not None else asyncio.sleep(0))
        finally:
            self.under_way -= set(batches)
        stream = BytesIO(b"\0\0\0\5" + self._answer(batches))
        self._hold(asked.parse_response_header(stream).correlation_id == 5, "the answer has another number")
        asked.RESPONSE_TYPE.decode(stream)
        if self.fails_after_answer:
            raise self.fails_after_answer.pop()

    def _hold(self, so: bool, otherwise: str) -> None:
        if not so:  # an exception would count as a request that failed
            Leaders.faults.append(otherwise)

    def _answer(self, batches: Mapping[Place, list[bytes]]) -> bytes:
        topics: defaultdict[str, list[tuple[int, int, int, int, int]]] = defaultdict(list)
        broken: Exception | None = None
        for place, values in batches.items():
            name = b",".join(values)
            self.tried.append(name)
            said = self.refusals[name].pop(0) if self.refusals.get(name) else None
            code = getattr(said, "errno", -1) if said is not None else 0
            if code < 0:
                broken = said
            if said is None or name in self.appended:
                self.logs[place] += values
            if place in self.silent:
                self.silent.discard(place)
            else:
                topics[place[0]].append((place[1], code, len(self.logs[place]) - len(values), -1, 0))
        if broken is not None:
            raise broken
        encoded: bytes = ProduceResponse_v7(list(topics.items()), 0).encode()
        return encoded

    def _batches(self, request: bytes) -> dict[Place, list[bytes]]:
        """Values by partition of a request as it goes over the wire."""
        stream = BytesIO(request)
        header = [field.decode(stream) for field in RequestHeader_v1.SCHEMA.fields]
        self._hold(header == [0, 7, 5, "c"], f"the header is {header}")
        asked: Any = ProduceRequest_v7.decode(stream)
        kind = (asked.transactional_id, asked.required_acks, asked.timeout, stream.read())
        self._hold(kind == (None, -1, 40_000, b""), f"the request is for {kind}")
        found: dict[Place, list[bytes]] = {}
        for topic, partitions in asked.topics:
            for partition, text in partitions:
                records: Any = MemoryRecords(text)
                batch = records.next_batch()
                self._hold(batch.validate_crc(), "a batch is damaged")
                self._hold(not records.has_next() and (topic, partition) not in found, "a partition gets two batches")
                found[topic, partition] = [record.value for record in batch]
        return found
