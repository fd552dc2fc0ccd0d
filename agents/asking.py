"""Asking brokers for records in bytes made by hand, and reading their answers in one go.

aiokafka sends, and takes care of everything that is not plain: positions to be reset, partitions without a leader,
errors in answers, other versions of the fetch API. What is plain, nearly all, goes past its generic encoding and
decoding, which makes a few hundred objects for every request and answer.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, TypeVar

from aiokafka.client import ConnectionGroup
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.api import RequestHeader_v1, ResponseHeader_v0
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.structs import TopicPartition

from agents.fetched import Found, by_library
from messages.answers import Part, laid_out
from messages.records import NO_RECORDS
from messages.unpacking import Span, unpacked_each

log = logging.getLogger(__name__)

#: The only version of the fetch API that is written by hand, aiokafka's newest.
_KEY: int = FetchRequest_v11.API_KEY
_VERSION: int = FetchRequest_v11.API_VERSION
#: A request's replica (none), wait (ms), least and most bytes, isolation level, session and its epoch (none), and how
#: many topics; of each partition its number, the leader's epoch (unknown), the offset, the log's start (the broker's
#: affair), and the most bytes; behind all no topics to forget, and no rack.
_HEAD, _PARTITION, _TAIL = struct.Struct(">iiiibiii"), struct.Struct(">iiqqi"), struct.pack(">ih", 0, 0)

#: A partition and aiokafka's state of it, and the same with the offset that was asked for.
Known = tuple[TopicPartition, Any]
Asked = tuple[TopicPartition, Any, int]
Topics = dict[bytes, list[Known]]  # by the topic's name
Answer = tuple[bytes, list[Part]]
Item = TypeVar("Item")


class Ask:
    """A fetch request as aiokafka's connection sends it, and what its answer is read with."""

    API_KEY, API_VERSION = _KEY, _VERSION

    def __init__(self, limits: tuple[int, int, int], most: int, topics: Topics) -> None:
        """Ask for partitions, by their topic's name, from their positions on, for at most `most` bytes of each.

        `limits` are how long the broker may wait (ms), the bytes from which on it does not, and the most bytes of all.
        """
        self._limits, self._most = limits, most
        self.asked: dict[bytes, dict[int, Asked]] = {
            name: {tp.partition: (tp, state, state.position) for tp, state in partitions}
            for name, partitions in topics.items()
        }

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> "Ask":
        """Itself. Raises IncompatibleBrokerVersion where this is not the broker any more that was looked at."""
        if not speaks(versions):
            raise IncompatibleBrokerVersion(f"the broker has come back with other versions: {versions}")
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> RequestHeader_v1:
        """What goes before the request."""
        request: Any = self  # a header asks for no more than the API's key and version
        return RequestHeader_v1(request, correlation_id=correlation_id, client_id=client_id)

    def encode(self) -> bytes:
        """The request itself."""
        parts = [_HEAD.pack(-1, *self._limits, READ_UNCOMMITTED, 0, -1, len(self.asked))]
        for name, partitions in self.asked.items():
            parts.append(struct.pack(f">h{len(name)}si", len(name), name, len(partitions)))
            for number, (_, _, position) in partitions.items():
                parts.append(_PARTITION.pack(number, -1, position, -1, self._most))
        return b"".join([*parts, _TAIL])

    def parse_response_header(self, data: BytesIO) -> ResponseHeader_v0:
        """What comes before the answer."""
        return ResponseHeader_v0.decode(data)

    @property
    def RESPONSE_TYPE(self) -> "Ask":  # noqa: N802 - aiokafka's name
        """What has the `decode` for the answer: who asked knows how much it can hold."""
        return self

    def decode(self, data: BytesIO) -> Answer | FetchResponse_v11:
        """The answer as in `laid_out`; as aiokafka's response, or its error, where it is odd."""
        found = laid_out(data.getvalue(), data.tell(), sum(map(len, self.asked.values())))
        return FetchResponse_v11.decode(data) if found is None else found

    def every(self) -> list[Asked]:
        """All partitions that are asked for."""
        return [asked for partitions in self.asked.values() for asked in partitions.values()]

    def by_library(self, some: Iterable[Asked]) -> FetchRequest:
        """The request for some of the partitions as aiokafka has it; the broker is to answer at once."""
        topics = dict[str, list[tuple[int, int, int]]]()
        for tp, _, position in some:
            topics.setdefault(tp.topic, []).append((tp.partition, position, self._most))
        return FetchRequest(0, *self._limits[1:], READ_UNCOMMITTED, list(topics.items()))


def speaks(versions: Mapping[int, tuple[int, int]]) -> bool:
    """Whether a broker with these versions of APIs (least and newest, by key) understands an `Ask`."""
    least, newest = versions.get(_KEY, (0, -1))
    return least <= _VERSION <= newest


class Asking:
    """Takes the place of what aiokafka's fetcher asks brokers with, where all is plain."""

    def __init__(self, fetcher: Any) -> None:
        """Change `fetcher`."""
        self._fetcher = fetcher
        self._actions, self._process = fetcher._get_actions_per_node, fetcher._proc_fetch_request
        self._plan: _Plan | None = None
        fetcher._get_actions_per_node, fetcher._proc_fetch_request = self.actions, self.process

    def actions(self, assignment: Any) -> Any:
        """Whom to ask for what, as `_get_actions_per_node` has it."""
        fetcher = self._fetcher
        plan = self._plan_for(assignment)
        if plan is None or not plan.led or any(s.paused or not s.has_valid_position for s in plan.states):
            return self._actions(assignment)
        waiting, backoffs = fetcher._records, dict[int, float]()
        for tp, found in waiting.items():
            node, left = plan.leaders.get(tp), found.calculate_backoff()
            if left and node is not None:
                backoffs[node] = max(left, backoffs.get(node, 0))
        requests = list[tuple[int, Ask]]()
        for node in plan.topics:
            if node in fetcher._in_flight or node in backoffs:
                continue
            if not self._understands(node):
                return self._actions(assignment)
            chosen = plan.in_turn(node, waiting)
            if chosen:
                limits = fetcher._fetch_max_wait_ms, fetcher._fetch_min_bytes, fetcher._fetch_max_bytes
                requests.append((node, Ask(limits, fetcher._max_partition_fetch_bytes, chosen)))
        return requests, {}, min(backoffs.values(), default=fetcher._fetcher_timeout), False, []

    async def process(self, assignment: Any, node: int, request: Ask | FetchRequest) -> bool:
        """Send a request and keep what it brings until it is taken; whether somebody has to be woken for it.

        What is odd is asked for once more in aiokafka's way, which then decides what it means.
        """
        fetcher = self._fetcher
        if isinstance(request, FetchRequest):
            await self._process(assignment, node, request)
            return True
        try:
            answer = await fetcher._client.send(node, request)
        except KafkaError as error:
            log.error("Failed fetch messages from %s: %s", node, error)
            await asyncio.sleep(fetcher._retry_backoff)
            return False
        except asyncio.CancelledError:  # as aiokafka does: nobody is interested any more
            return False
        if not assignment.active:
            return False
        if isinstance(answer, FetchResponse_v11):
            odd = request.every()
        else:
            odd = self._keep(assignment, request, answer)
            # Now, so that what it brought is taken and the broker can soon be asked for everything again.
            for waiter in fetcher._fetch_waiters:
                fetcher._notify(waiter)
        if odd:
            await self._process(assignment, node, request.by_library(odd))
        return bool(odd)

    def _plan_for(self, assignment: Any) -> "_Plan | None":
        fetcher = self._fetcher
        if fetcher._client_rack or fetcher._isolation_level != READ_UNCOMMITTED:
            return None
        plan, cluster = self._plan, fetcher._client.cluster
        if plan is None or plan.assignment is not assignment or plan.metadata is not cluster._partitions:
            plan = self._plan = _Plan(assignment, cluster)
        return plan

    def _understands(self, node: int) -> bool:
        """Whether a connection to the broker is there, and the broker has our version of the API."""
        connection = self._fetcher._client._conns.get((node, ConnectionGroup.DEFAULT))
        return connection is not None and connection.connected() and speaks(connection._versions)

    def _keep(self, assignment: Any, request: Ask, answer: Answer) -> list[Asked]:
        """Keep what an answer brought; returns what has to be asked for once more."""
        text, parts = answer
        now_ms = int(1000 * time.time())
        brought, spans, odd = list[Asked](), list[Span](), list[Asked]()
        for name_start, name_end, number, error, end, stable, start, stop, records in parts:
            asked = request.asked.get(text[name_start:name_end], {}).get(number)
            if asked is None:
                return request.every()
            _, state, position = asked
            if not state.has_valid_position or state.position != position:
                continue  # it was sought meanwhile
            if error:
                odd.append(asked)
                continue
            state.highwater, state.lso, state.timestamp = end, stable, now_ms
            if stop > start:
                brought.append(asked)
                spans.append((start, stop, records, position))
        return odd + self._keep_records(assignment, text, brought, spans)

    def _keep_records(
        self, assignment: Any, text: bytes, brought: Sequence[Asked], spans: Sequence[Span]
    ) -> list[Asked]:
        """Keep what was brought, which lies at `spans` of `text`; returns of which partitions not a batch is whole."""
        fetcher, cut_off = self._fetcher, list[Asked]()
        until = time.monotonic() + fetcher._prefetch_backoff
        for asked, (start, stop, _, _), unpacked in zip(brought, spans, unpacked_each(text, spans), strict=True):
            tp, state, position = asked
            records, reached = unpacked or (NO_RECORDS, position)
            if reached > position:
                fetcher._records[tp] = Found(assignment, state, records, position, reached, until)
            elif (found := by_library(fetcher, assignment, tp, text[start:stop], position)) is not None:
                fetcher._records[tp] = found
            else:
                cut_off.append(asked)
        return cut_off


class _Plan:
    """Whom to ask for what, as long as neither the assignment nor the cluster's metadata change."""

    def __init__(self, assignment: Any, cluster: Any) -> None:
        self.assignment, self.metadata = assignment, cluster._partitions
        known: list[Known] = [(tp, assignment.state_value(tp)) for tp in sorted(assignment.tps)]
        self.states = [state for _, state in known]
        leaders = {tp: cluster.leader_for_partition(tp) for tp, _ in known}
        self.led = not {None, -1} & set(leaders.values())  # every partition has a leader
        self.leaders: dict[TopicPartition, int] = leaders
        self.topics = dict[int, Topics]()
        for tp, state in known:
            self.topics.setdefault(self.leaders[tp], {}).setdefault(tp.topic.encode(), []).append((tp, state))
        self._turns = dict.fromkeys(self.topics, 0)

    def in_turn(self, node: int, without: Collection[TopicPartition]) -> Topics:
        """A broker's partitions but those in `without`, another one first each time: the last may not fit any more."""
        topics, turn = self.topics[node], self._turns[node]
        self._turns[node] += 1
        chosen = Topics()
        for name in _rotated(list(topics), turn):
            partitions = _rotated(topics[name], turn // len(topics))
            free = [known for known in partitions if known[0] not in without] if without else partitions
            if free:
                chosen[name] = free
        return chosen


def _rotated(items: list[Item], turn: int) -> list[Item]:
    first = turn % len(items)
    return items[first:] + items[:first]
