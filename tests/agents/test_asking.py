"""Asking brokers by hand, against aiokafka's own fetcher before the same broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.asking import Ask, Asking
from agents.fetched import take
from messages.records import RawRecords
from tests.messages.test_unpacking import batch

TOPICS = "bills", "repayments", "logins"
TPS = [TopicPartition(topic, number) for topic in TOPICS for number in range(2)]
FIRST = 5  # the offset that everything is read from
SPOKEN = {1: (4, 17)}
#: error, end, stable, aborted, records
Part = tuple[int, int, int, list[tuple[int, int]] | None, bytes]
NOTHING: Part = (0, FIRST, FIRST, None, b"")
ONE: Part = (0, FIRST + 1, FIRST + 1, None, batch(FIRST, [(5, b"k", b"value", [])]))


def old_layout() -> bytes:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1_000)
    builder.append(FIRST, timestamp=5, key=b"a", value=b"1")
    return bytes(builder.build())


SOME = [(5, b"k", b"value", []), (6, None, b"other", [("h", b"x")]), (7, b"", None, [])]
BATCHES = {
    "none": b"",
    "one": ONE[4],
    "two": batch(FIRST, SOME) + batch(FIRST + 3, SOME),
    "begun before": batch(FIRST - 2, SOME),
    "cut off behind": batch(FIRST, SOME) + batch(FIRST + 3, SOME)[:-1],
    "cut off": batch(FIRST, SOME)[:-1],
    "less than a length": batch(FIRST, SOME)[:9],
    "compressed": batch(FIRST, SOME, compression=1),
    "plain and compressed": batch(FIRST, SOME) + batch(FIRST + 3, SOME, compression=1),
    "of a transaction": batch(FIRST, SOME, transactional=True),
    "old": old_layout(),
    "damaged": batch(FIRST, SOME)[:-1] + b"\xff",
}
#: Of Kafka: none, out of range, unknown topic, not the leader, not authorised, storage, one that is not known.
ERRORS = st.sampled_from([0, 0, 0, 0, 1, 3, 6, 29, 56, 9999])
PARTS = st.tuples(
    ERRORS,
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([None, None, [], [(3, 4)]]),
    st.sampled_from(list(BATCHES.values())),
)


class Connection:
    """What is looked at of a connection before it is used."""

    def __init__(self, versions: dict[int, tuple[int, int]]) -> None:
        self._versions = versions

    def connected(self) -> bool:
        return True


def metadata(*leaders: int) -> MetadataResponse_v1:
    """What a cluster of two brokers tells of itself, where these lead the partitions of each topic."""
    topics = [(0, topic, False, [(0, i, leader, [1], [1]) for i, leader in enumerate(leaders)]) for topic in TOPICS]
    return MetadataResponse_v1([(1, "localhost", 9, None), (2, "localhost", 10, None)], 1, topics)


class Broker:
    """An aiokafka client whose only broker answers fetches of FIRST with `parts`, and keeps what it was sent."""

    _metadata_max_age_ms = 300_000

    def __init__(self, parts: dict[TopicPartition, Part], versions: dict[int, tuple[int, int]] = SPOKEN) -> None:
        self.parts, self.cluster, self._loop = parts, ClusterMetadata(), asyncio.get_running_loop()
        self.cluster.update_metadata(metadata(1, 1))
        self.versions = versions
        self._conns = {(1, ConnectionGroup.DEFAULT): Connection(versions)}
        self.refreshes, self.requests = 0, list[Any]()
        self.meanwhile: Callable[[], None] = lambda: None

    def force_metadata_update(self) -> None:
        self.refreshes += 1

    async def send(self, _node: int, request: Any) -> Any:
        sent = request.prepare(self.versions)
        self.requests.append(request)
        self.meanwhile()
        return sent.RESPONSE_TYPE.decode(BytesIO(self.answer(sent)))

    def answer(self, sent: Any) -> bytes:
        kind: Any = FetchRequest_v11 if isinstance(sent, Ask) else type(sent)
        replica = (-1,) if kind.API_VERSION >= 11 else ()
        topics = [
            (topic, [(number, *part[:3], 0, part[3], *replica, part[4]) for number, part in parts])
            for topic, partitions in kind.decode(sent.encode()).topics
            if (parts := [(one[0], self.parts.get((topic, one[0]), NOTHING)) for one in partitions if one[2] == FIRST])
        ]
        return bytes(kind.RESPONSE_TYPE(0, 0, 0, topics).encode())


@asynccontextmanager
async def fetching(broker: Broker, *, by_hand: bool = True, by_itself: bool = False) -> AsyncIterator[Any]:
    """aiokafka's fetcher before `broker`, all partitions at FIRST; unless it works `by_itself`, see `cycle`."""
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user(TPS)
    fetcher = Fetcher(broker, subscriptions, auto_offset_reset="earliest")
    if not by_itself:
        fetcher._fetch_task.cancel()
    for tp in TPS:
        subscriptions.seek(tp, FIRST)
    if by_hand:
        Asking(fetcher)
    yield fetcher
    await fetcher.close()


def assignment_of(fetcher: Any) -> Any:
    return fetcher._subscriptions.subscription.assignment


def asked_of(request: Ask | FetchRequest) -> dict[TopicPartition, int]:
    """The offsets that a request of either kind asks for."""
    if isinstance(request, Ask):
        return {tp: position for tp, _, position in request.every()}
    return {TopicPartition(topic, part[0]): part[1] for topic, parts in request.topics for part in parts}


async def cycle(fetcher: Any) -> Any:
    """Send what there is to send, and return what `_get_actions_per_node` told."""
    assignment = assignment_of(fetcher)
    actions = fetcher._get_actions_per_node(assignment)
    for node, request in actions[0]:
        await fetcher._proc_fetch_request(assignment, node, request)
    return actions


def rows(records: Any) -> list[Any]:
    """Offset, time, key, value of each record, however they were taken."""
    if isinstance(records, RawRecords):
        columns = records.offsets.tolist(), records.timestamps.tolist(), list(records.keys), list(records.values)
        return list(zip(*columns, strict=True))
    return [(record.offset, record.timestamp, record.key, record.value) for record in records]


async def taken(fetcher: Any, take_from: Callable[[Any, set[TP]], Any]) -> dict[TopicPartition, Any]:
    """By partition, what two attempts to take something give: records, or an error, and what is known afterwards."""
    found = dict[TopicPartition, Any]()
    for tp in TPS:
        tried = list[Any]()
        for _ in range(2):
            try:
                brought = take_from(fetcher, {TP(*tp)})
                brought = await brought if asyncio.iscoroutine(brought) else brought
                tried.append(rows(brought.get(tp, [])))
            except KafkaError as error:
                tried.append(repr(error))
        state = assignment_of(fetcher).state_value(tp)
        known = state.has_valid_position and state.position, state.highwater, state.lso, state.awaiting_reset
        found[tp] = tried, known, state.timestamp is not None
    return found


def by_library(fetcher: Any, wanted: set[TP]) -> Any:
    return fetcher.fetched_records(wanted)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(TPS), PARTS))
def test_whatever_a_broker_answers_it_is_taken_as_aiokafka_takes_it(parts: dict[TopicPartition, Part]) -> None:
    async def compare() -> None:
        async with fetching(Broker(parts)) as ours, fetching(Broker(parts), by_hand=False) as theirs:
            await cycle(ours)
            await cycle(theirs)
            assert isinstance(ours._client.requests[0], Ask)
            assert await taken(ours, take) == await taken(theirs, by_library)
            assert (ours._client.refreshes > 0) == (theirs._client.refreshes > 0)
            assert ours._records == theirs._records == {}

    asyncio.run(compare())


@pytest.mark.parametrize("name", BATCHES)
async def test_records_of_every_kind_are_taken_as_aiokafka_takes_them(name: str) -> None:
    parts: dict[TopicPartition, Part] = {TPS[3]: (0, 9, 9, None, BATCHES[name])}
    async with fetching(Broker(parts)) as ours, fetching(Broker(parts), by_hand=False) as theirs:
        await cycle(ours)
        await cycle(theirs)
        assert await taken(ours, take) == await taken(theirs, by_library)
        once_more = name in {"cut off", "less than a length"}
        assert [type(request) for request in ours._client.requests] == [Ask] + [FetchRequest] * once_more


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.text(max_size=9), st.dictionaries(st.integers(0, 99), st.integers(0, 1 << 62), min_size=1)),
    st.tuples(st.just(0), st.integers(0, 1 << 30), st.integers(0, 1 << 30)),
    st.integers(0, 1 << 30),
)
def test_a_request_has_the_bytes_of_the_librarys(topics: Any, limits: Any, most: int) -> None:
    known: Any = {
        topic.encode(): [
            (TopicPartition(topic, number), SimpleNamespace(position=position)) for number, position in numbers.items()
        ]
        for topic, numbers in topics.items()
    }
    ask = Ask(limits, most, known)
    theirs: Any = ask.by_library(ask.every()).prepare(SPOKEN)
    assert ask.prepare(SPOKEN).encode() == theirs.encode()
    heads = [one.build_request_header(correlation_id=7, client_id="worker").encode() for one in (ask, theirs)]
    assert heads[0] == heads[1]


async def test_what_is_odd_is_asked_for_once_more_in_the_librarys_way_and_nothing_else_is() -> None:
    async with fetching(Broker({TPS[0]: ONE, TPS[2]: (6, -1, -1, None, b""), TPS[3]: ONE})) as fetcher:
        await cycle(fetcher)
        first, second = fetcher._client.requests
        assert isinstance(first, Ask)
        assert isinstance(second, FetchRequest)
        assert asked_of(second) == {TPS[2]: FIRST}
        assert set(fetcher._records) == {TPS[0], TPS[3]}
        assert fetcher._client.refreshes == 1


async def test_who_waits_is_woken_before_anything_is_asked_for_once_more() -> None:
    broker = Broker({TPS[0]: ONE, TPS[2]: (6, -1, -1, None, b"")})
    async with fetching(broker) as fetcher:
        waiter, woken = fetcher._create_fetch_waiter(), list[bool]()
        broker.meanwhile = lambda: woken.append(waiter.done())
        await cycle(fetcher)
        assert woken == [False, True]


async def test_an_answer_about_a_partition_that_was_not_asked_for_is_not_believed() -> None:
    broker = Broker({TPS[0]: ONE})
    async with fetching(broker) as fetcher:
        fetcher._records[TPS[1]] = found = SimpleNamespace(calculate_backoff=lambda: 0)  # so it is not asked for
        usual = broker.answer
        broker.answer = lambda sent: usual(sent).replace(b"bills", b"pills") if isinstance(sent, Ask) else usual(sent)  # type: ignore[method-assign]
        await cycle(fetcher)
        assert [type(request) for request in broker.requests] == [Ask, FetchRequest]
        assert fetcher._records.pop(TPS[1]) is found
        assert list(fetcher._records) == [TPS[0]]


async def test_an_answer_that_the_kernel_doubts_is_fetched_once_more_in_the_librarys_way() -> None:
    broker = Broker({TPS[0]: ONE})
    async with fetching(broker) as fetcher:
        usual = broker.answer
        broker.answer = lambda sent: b"\0\0\0\0\0\7" + usual(sent)[6:] if isinstance(sent, Ask) else usual(sent)  # type: ignore[method-assign]
        await cycle(fetcher)
        assert [type(request) for request in broker.requests] == [Ask, FetchRequest]
        assert list(fetcher._records) == [TPS[0]]


@pytest.mark.parametrize("versions", [{}, {1: (0, 10)}, {1: (12, 17)}], ids=["unknown", "older", "newer"])
async def test_a_broker_with_another_version_of_the_api_is_asked_in_the_librarys_way(versions: Any) -> None:
    async with fetching(Broker({TPS[0]: ONE}, versions)) as fetcher:
        requests, *_ = fetcher._get_actions_per_node(assignment_of(fetcher))
        assert [type(request) for _, request in requests] == [FetchRequest]


async def test_what_an_older_broker_answers_is_taken_as_columns_too() -> None:
    async with fetching(Broker({TPS[0]: ONE, TPS[1]: (1, -1, -1, None, b"")}, {1: (0, 10)})) as fetcher:
        await cycle(fetcher)
        assert {tp: rows(records) for tp, records in take(fetcher, set(map(TP._make, TPS))).items()} == {
            TPS[0]: [(FIRST, 5, b"k", b"value")]
        }
        assert assignment_of(fetcher).state_value(TPS[1]).awaiting_reset


async def test_before_there_is_a_connection_the_library_asks() -> None:
    async with fetching(Broker({})) as fetcher:
        fetcher._client._conns.clear()
        requests, *_ = fetcher._get_actions_per_node(assignment_of(fetcher))
        assert [type(request) for _, request in requests] == [FetchRequest]


async def test_a_broker_that_comes_back_with_another_version_is_asked_again_in_the_librarys_way() -> None:
    async with fetching(Broker({TPS[0]: ONE})) as fetcher:
        fetcher._retry_backoff = 0
        fetcher._client.versions = {1: (0, 10)}
        await cycle(fetcher)
        assert fetcher._client.requests == []
        assert fetcher._records == {}
        fetcher._client._conns = {(1, ConnectionGroup.DEFAULT): Connection({1: (0, 10)})}
        await cycle(fetcher)
        assert list(fetcher._records) == [TPS[0]]


async def test_an_answer_that_comes_after_the_partitions_were_taken_away_is_dropped() -> None:
    broker = Broker({TPS[0]: ONE})
    async with fetching(broker) as fetcher:
        broker.meanwhile = fetcher._subscriptions.unsubscribe
        assignment = assignment_of(fetcher)
        ((node, request),) = fetcher._get_actions_per_node(assignment)[0]
        assert await fetcher._proc_fetch_request(assignment, node, request) is False
        assert fetcher._records == {}


async def test_an_answer_for_an_offset_that_was_left_meanwhile_is_dropped_and_tells_nothing() -> None:
    broker = Broker({TPS[0]: ONE, TPS[1]: ONE})
    async with fetching(broker) as fetcher:
        broker.meanwhile = lambda: fetcher.seek_to(TPS[0], FIRST - 1)
        await cycle(fetcher)
        assert list(fetcher._records) == [TPS[1]]
        assert assignment_of(fetcher).state_value(TPS[0]).highwater is None


@pytest.mark.parametrize("change", ["sought", "paused", "revoked"])
async def test_what_waits_is_not_taken_after_its_partition_was(change: str) -> None:
    async with fetching(Broker({TPS[0]: ONE, TPS[1]: ONE})) as fetcher:
        await cycle(fetcher)
        state = assignment_of(fetcher).state_value(TPS[0])
        if change == "sought":
            state.seek(FIRST - 1)
        elif change == "paused":
            state.pause()
        else:
            fetcher._subscriptions.unsubscribe()
        found = take(fetcher, set(map(TP._make, TPS)))
        assert set(found) == (set() if change == "revoked" else {TPS[1]})
        assert state.position == (FIRST - 1 if change == "sought" else FIRST)


async def test_what_is_not_wanted_waits_and_is_left_out_of_the_next_request() -> None:
    async with fetching(Broker({TPS[0]: ONE, TPS[1]: ONE})) as fetcher:
        fetcher._prefetch_backoff = 0
        await cycle(fetcher)
        assert set(take(fetcher, {TP(*TPS[1])})) == {TPS[1]}
        ((_, request),) = fetcher._get_actions_per_node(assignment_of(fetcher))[0]
        assert isinstance(request, Ask)
        assert asked_of(request) == {tp: FIRST + 1 if tp == TPS[1] else FIRST for tp in TPS[1:]}
        assert set(take(fetcher, {TP(*TPS[0])})) == {TPS[0]}


async def test_a_broker_is_not_asked_while_an_answer_of_it_was_not_there_for_long() -> None:
    async with fetching(Broker({TPS[0]: ONE})) as fetcher:
        fetcher._prefetch_backoff = 1_000
        await cycle(fetcher)
        requests, _, timeout, *_ = fetcher._get_actions_per_node(assignment_of(fetcher))
        assert requests == []
        assert 0 < timeout <= 1_000


async def test_a_broker_is_not_asked_while_a_request_is_on_its_way() -> None:
    async with fetching(Broker({})) as fetcher:
        fetcher._in_flight.add(1)
        assert fetcher._get_actions_per_node(assignment_of(fetcher)) == ([], {}, fetcher._fetcher_timeout, False, [])


@pytest.mark.parametrize("leaders", [(1, 1), (1, 2)])
async def test_every_partition_comes_first_in_its_turn(leaders: tuple[int, int]) -> None:
    async with fetching(Broker({})) as fetcher:
        fetcher._client.cluster.update_metadata(metadata(*leaders))
        fetcher._client._conns[2, ConnectionGroup.DEFAULT] = Connection(SPOKEN)
        first = set[TopicPartition]()
        for _ in TPS:
            requests = fetcher._get_actions_per_node(assignment_of(fetcher))[0]
            assert [node for node, _ in requests] == sorted(set(leaders))
            first |= {request.every()[0][0] for _, request in requests}
        assert first == set(TPS)


@pytest.mark.parametrize("leader", [-1, 2])
@pytest.mark.parametrize("waiting", [{}, {TPS[0]: ONE}], ids=["nothing", "something"])
async def test_partitions_go_where_the_metadata_say_that_they_are_led_now(leader: int, waiting: Any) -> None:
    async with fetching(Broker(waiting)) as ours, fetching(Broker(waiting), by_hand=False) as theirs:
        told = list[Any]()
        for fetcher in (ours, theirs):
            fetcher._prefetch_backoff = 1_000
            await cycle(fetcher)
            fetcher._client.cluster.update_metadata(metadata(leader, 1))
            requests, resets, _, no_leader, resumes = fetcher._get_actions_per_node(assignment_of(fetcher))
            told.append(({node: asked_of(request) for node, request in requests}, resets, no_leader, resumes))
        assert told[0] == told[1]


@pytest.mark.parametrize("change", ["paused", "reset"])
async def test_partitions_that_are_paused_or_without_a_position_are_the_librarys_affair(change: str) -> None:
    async with fetching(Broker({})) as fetcher:
        state = assignment_of(fetcher).state_value(TPS[0])
        if change == "paused":
            state.pause()
        else:
            state.await_reset(-2)
        requests, resets, _, _, resumes = fetcher._get_actions_per_node(assignment_of(fetcher))
        assert [type(request) for _, request in requests] == [FetchRequest] * (change == "paused")
        assert (dict(resets), len(resumes)) == (({}, 1) if change == "paused" else ({1: [TPS[0]]}, 0))


@pytest.mark.parametrize(("setting", "value"), [("_isolation_level", 1), ("_client_rack", "here")])
async def test_committed_reads_and_racks_are_the_librarys_affair(setting: str, value: Any) -> None:
    async with fetching(Broker({})) as fetcher:
        setattr(fetcher, setting, value)
        requests, *_ = fetcher._get_actions_per_node(assignment_of(fetcher))
        assert [type(request) for _, request in requests] == [FetchRequest]
