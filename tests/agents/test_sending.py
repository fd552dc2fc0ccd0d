import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerClosed,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import batches, sending
from agents.batches import Delivery, Request
from agents.meters import SilentMeters
from agents.sending import Sender
from app.kafka import partition_of
from messages.message import Message
from tests.agents.leaders import Leaders


class AtOnce:
    """A Backoff that only lets others go first."""

    async def wait(self) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Leaders]:
    monkeypatch.setattr(sending, "Backoff", AtOnce)
    monkeypatch.setattr(Leaders, "faults", [])
    async with asyncio.timeout(20):
        yield Leaders()
    assert not Leaders.faults


def message(value: bytes, topic: str = "warnings", key: bytes = b"u") -> Message:
    return Message(topic, key, value)


def hand_over(sender: Sender, topic: str, partition: int, *values: bytes) -> asyncio.Future[int]:
    """One call's messages to a partition; what it waits for."""
    delivery = Delivery(len(values))
    for value in values:
        sender.send(message(value, topic), partition, delivery)
    return delivery.done


async def turns() -> None:
    """Let everything happen that needs no answer."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_handed_over_in_one_turn_goes_to_each_leader_as_one_request(client: Leaders) -> None:
    client.cluster.leaders = {("journal", 1): 2, ("warnings", 1): 2}
    sender = Sender(client, SilentMeters())
    calls = [hand_over(sender, topic, number, b"a", b"b") for topic in ("journal", "warnings") for number in range(4)]
    assert await asyncio.gather(*calls) == [1] * 8
    assert sorted(leader for leader, _ in client.requests) == [1, 2]
    assert sorted(len(held) for _, held in client.requests) == [2, 6]


async def test_what_comes_while_a_broker_has_not_answered_is_joined_and_other_brokers_do_not_wait(
    client: Leaders,
) -> None:
    client.cluster.leaders = {("journal", 7): 2}
    client.held = asyncio.Event()
    sender = Sender(client, SilentMeters())
    calls = [hand_over(sender, "journal", 0, b"first")]
    await turns()
    for number in (1, 2, 7):
        calls.append(hand_over(sender, "journal", number, b"next"))
        await turns()
    assert [(leader, list(held)) for leader, held in client.requests] == [
        (1, [("journal", 0)]),
        (2, [("journal", 7)]),
    ]
    client.held.set()
    await asyncio.gather(*calls)
    assert [list(held) for _, held in client.requests[2:]] == [[("journal", 1), ("journal", 2)]]


async def test_those_who_waited_together_send_the_next_together(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())

    async def entry_and_decisions(number: int) -> None:
        await hand_over(sender, "journal", number, b"entry")
        await hand_over(sender, "warnings", number, b"warning")

    client.held = asyncio.Event()
    calls = [asyncio.create_task(entry_and_decisions(0))]
    await turns()
    calls += [asyncio.create_task(entry_and_decisions(number)) for number in (1, 2, 3)]
    await turns()
    client.held.set()
    await asyncio.gather(*calls)
    assert [len(held) for _, held in client.requests] == [1, 4, 3]


async def test_each_record_of_a_batch_that_was_joined_has_its_own_offset(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())
    assert await hand_over(sender, "journal", 2, b"before") == 0
    calls = [hand_over(sender, "journal", 2, value) for value in (b"a", b"b", b"c")]
    assert await asyncio.gather(*calls) == [1, 2, 3]
    assert client.tried == [b"before", b"a,b,c"]


async def test_a_partition_that_is_refused_is_sent_to_its_new_leader_before_anything_behind_it(client: Leaders) -> None:
    client.refusals = {b"a": [NotLeaderForPartitionError(), CorruptRecordException()]}
    client.on_metadata = lambda: client.cluster.leaders.update({("warnings", 0): 2})
    sender = Sender(client, SilentMeters())
    refused, taken = hand_over(sender, "warnings", 0, b"a"), hand_over(sender, "warnings", 1, b"b")
    assert await taken == 0
    assert not refused.done()
    behind = hand_over(sender, "warnings", 0, b"c")
    assert (await refused, await behind) == (0, 1)
    assert client.logs == {("warnings", 0): [b"a", b"c"], ("warnings", 1): [b"b"]}
    assert [(leader, list(held)) for leader, held in client.requests] == [
        (1, [("warnings", 0), ("warnings", 1)]),
        (2, [("warnings", 0)]),
        (2, [("warnings", 0)]),
        (2, [("warnings", 0)]),
    ]


async def test_a_partition_that_an_answer_says_nothing_of_is_sent_again(client: Leaders) -> None:
    client.silent = {("warnings", 0)}
    sender = Sender(client, SilentMeters())
    await asyncio.gather(hand_over(sender, "warnings", 0, b"a"), hand_over(sender, "warnings", 1, b"b"))
    assert client.tried == [b"a", b"b", b"a"]


async def test_what_is_too_large_is_an_error_and_what_was_handed_over_with_it_is_delivered(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())
    large = b"x" * batches.LARGEST_BYTES
    call, other = hand_over(sender, "warnings", 0, b"a", large, b"b"), hand_over(sender, "warnings", 0, b"c")
    with pytest.raises(MessageSizeTooLargeError):
        await call
    await other
    assert client.logs == {("warnings", 0): [b"a", b"b", b"c"]}


async def test_what_a_broker_finds_too_large_is_an_error_for_its_calls_and_no_others(client: Leaders) -> None:
    client.refusals = {b"a,b": [MessageSizeTooLargeError()]}
    sender = Sender(client, SilentMeters())
    calls = [hand_over(sender, "warnings", 0, value) for value in (b"a", b"b")]
    other = hand_over(sender, "warnings", 1, b"c")
    assert await other == 0
    for call in calls:
        with pytest.raises(MessageSizeTooLargeError):
            await call
    assert await hand_over(sender, "warnings", 0, b"d") == 0


async def test_a_request_is_split_where_brokers_would_not_take_it(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())
    value = b"x" * (batches.BATCH_BYTES - 200)
    calls = [hand_over(sender, "warnings", number, value) for number in range(6)]
    await asyncio.gather(*calls)
    assert [len(held) for _, held in client.requests] == [4, 2]


async def test_what_nobody_waits_for_any_more_is_not_sent_nor_sent_again(client: Leaders) -> None:
    client.held = asyncio.Event()
    client.refusals = {b"under way": [RequestTimedOutError()] * 5}
    sender = Sender(client, SilentMeters())
    under_way = hand_over(sender, "warnings", 0, b"under way")
    await turns()
    waiting, kept = hand_over(sender, "warnings", 0, b"waiting"), hand_over(sender, "warnings", 0, b"kept")
    under_way.cancel()
    waiting.cancel()
    client.held.set()
    assert await kept == 0
    assert client.tried == [b"under way", b"kept"]


async def test_nothing_is_sent_where_everybody_has_given_up(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())
    hand_over(sender, "warnings", 0, b"a").cancel()
    await sender.settle()
    assert client.requests == []


async def test_a_topic_that_does_not_exist_yet_is_asked_for_until_it_does(client: Leaders) -> None:
    asked = 0

    def create() -> None:
        nonlocal asked
        asked += 1
        if asked == 6:
            client.cluster.leaders = {}
            client.cluster.topics["dead-letters"] = 2

    client.on_metadata = create
    client.cluster.leaders = {("journal", 0): None, ("journal", 1): -1}
    client.cluster.topics["dead-letters"] = 0
    sender = Sender(client, SilentMeters())
    calls = [hand_over(sender, "journal", number, b"entry") for number in (0, 1)]
    known = hand_over(sender, "warnings", 1, b"a")
    assert await known == 0
    assert await asyncio.gather(*calls) == [0, 0]
    assert await sender.partition_of("dead-letters", b"u") in (0, 1)
    assert client.learned[0] == {"journal"}


async def test_a_partition_by_key_is_that_of_kafkas_own_partitioner(client: Leaders) -> None:
    client.cluster.topics["training-examples"] = 7
    sender = Sender(client, SilentMeters())
    found = [await sender.partition_of("training-examples", key) for key in (b"u1", b"u2", b"a longer key", b"")]
    assert found == [partition_of(key, 7) for key in ("u1", "u2", "a longer key", "")]


async def test_what_is_not_delivered_at_the_end_is_told_to_those_who_wait(client: Leaders) -> None:
    client.held = asyncio.Event()
    sender = Sender(client, SilentMeters())
    under_way = hand_over(sender, "warnings", 0, b"a")
    await turns()
    waiting = hand_over(sender, "warnings", 0, b"b")
    await sender.close()
    for call in (under_way, waiting):
        with pytest.raises(ProducerClosed):
            await call
    with pytest.raises(ProducerClosed):
        hand_over(sender, "warnings", 0, b"c")


async def test_settling_waits_for_everything_that_was_handed_over(client: Leaders) -> None:
    client.refusals = {b"a": [RequestTimedOutError()] * 3}
    sender = Sender(client, SilentMeters())
    calls = [hand_over(sender, "warnings", 0, b"a")]
    await turns()
    calls.append(hand_over(sender, "warnings", 0, b"b"))
    await sender.settle()
    assert all(call.done() for call in calls)


async def test_a_broker_may_refuse_any_number_of_times(client: Leaders) -> None:
    client.refusals = {b"a": [KafkaConnectionError("gone"), NotLeaderForPartitionError()] * 1_500}
    sender = Sender(client, SilentMeters())
    assert await hand_over(sender, "warnings", 0, b"a") == 0
    assert len(client.tried) == 3_001


async def test_an_answer_that_comes_as_it_is_given_up_counts(client: Leaders) -> None:
    client.fails_after_answer = [RequestTimedOutError()]
    sender = Sender(client, SilentMeters())
    assert await hand_over(sender, "warnings", 0, b"a") == 0
    assert await hand_over(sender, "warnings", 0, b"b") == 1
    assert client.tried == [b"a", b"b"]


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), IncompatibleBrokerVersion("old"), KeyError("odd")])
async def test_a_request_that_fails_in_whatever_way_is_made_again(client: Leaders, error: Exception) -> None:
    client.refusals = {b"a": [error, error]}
    sender = Sender(client, SilentMeters())
    assert await hand_over(sender, "warnings", 0, b"a") == 0
    assert client.tried == [b"a"] * 3


async def test_what_cannot_be_made_a_record_is_an_error_for_those_who_wait_and_not_for_ever(client: Leaders) -> None:
    sender = Sender(client, SilentMeters())
    delivery = Delivery(1)
    sender.send(Message("warnings", b"u", "text"), 0, delivery)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await delivery.done
    assert await hand_over(sender, "warnings", 0, b"a") == 0


async def test_what_waits_for_a_silent_broker_goes_to_the_next_leader_as_soon_as_it_is_known(client: Leaders) -> None:
    client.held = asyncio.Event()
    sender = Sender(client, SilentMeters())
    stuck = hand_over(sender, "journal", 0, b"stuck")
    await turns()
    waiting = hand_over(sender, "journal", 1, b"waiting")
    await turns()
    assert len(client.requests) == 1
    client.cluster.leaders = {("journal", 1): 2}
    client.force_metadata_update()
    await turns()
    assert [leader for leader, _ in client.requests] == [1, 2]
    client.held.set()
    await asyncio.gather(stuck, waiting)


def test_a_broker_of_versions_that_are_not_spoken_here_is_told_apart() -> None:
    request = Request([], lambda _: None)
    for versions, taken in (({0: (0, 11)}, 7), ({0: (3, 4)}, 4), ({0: (5, 5)}, 5)):
        assert request.prepare(versions)._version == taken
    for versions in ({0: (0, 2)}, {0: (8, 12)}, {}):
        with pytest.raises(IncompatibleBrokerVersion):
            request.prepare(versions)


PLACES = st.sampled_from([("journal", 0), ("journal", 1), ("warnings", 0), ("warnings", 1)])
CALLS = st.lists(st.tuples(PLACES, st.integers(1, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=12)
SAYS: tuple[type[Exception], ...] = (
    KafkaConnectionError,
    RequestTimedOutError,
    NotLeaderForPartitionError,
    UnknownTopicOrPartitionError,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(CALLS, st.integers(0, 2**32))
def test_whatever_fails_a_partitions_messages_come_in_their_order_and_none_is_missing(
    calls: list[tuple[tuple[str, int], int, int, bool]], seed: int
) -> None:
    chance = Random(seed)

    async def go() -> Leaders:
        client = Leaders()
        answer = client._answer

        def failing(held: Mapping[tuple[str, int], list[bytes]]) -> bytes:
            for values in held.values():
                name = b",".join(values)
                if chance.random() < 0.3:
                    client.refusals[name] = [chance.choice(SAYS)()]
                    client.appended = {name} if chance.random() < 0.3 else set()
            for place in held:
                client.cluster.leaders[place] = chance.choice([1, 2])
            return answer(held)

        client._answer = failing  # type: ignore[method-assign, assignment]
        sender = Sender(client, SilentMeters())
        waits = []
        for number, ((topic, partition), count, pause, given_up) in enumerate(calls):
            values = [b"%d.%d" % (number, nth) for nth in range(count)]
            waits.append(hand_over(sender, topic, partition, *values))
            for _ in range(pause):
                await asyncio.sleep(0)
            if given_up:
                waits[-1].cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await sender.settle()
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "Backoff", AtOnce)
        patch.setattr(batches, "BATCH_BYTES", 90)
        patch.setattr(Leaders, "faults", [])
        client = asyncio.run(asyncio.wait_for(go(), 20))
        assert not Leaders.faults
    for place in {place for place, *_ in calls}:
        handed_over = [
            b"%d.%d" % (number, nth)
            for number, (where, count, _, _) in enumerate(calls)
            if where == place
            for nth in range(count)
        ]
        seen = list(dict.fromkeys(client.logs[place]))
        assert seen == [value for value in handed_over if value in seen], "not in their order"
        last = list(dict.fromkeys(reversed(client.logs[place])))
        assert last == seen[::-1], "what is seen last was not decided last"
        wanted = {number for number, (where, _, _, given_up) in enumerate(calls) if where == place and not given_up}
        assert wanted <= {int(value.split(b".")[0]) for value in seen}
        assert all(value in seen for value in handed_over if int(value.split(b".")[0]) in wanted)
