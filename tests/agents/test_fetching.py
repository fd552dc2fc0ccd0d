"""The loop that waits for records, before a broker that stands in."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import ConsumerStoppedError, TopicAuthorizationFailedError
from faust.types import TP

from agents.fetching import Look, fetch, resume, wake
from tests.agents.test_asking import FIRST, NOTHING, ONE, SPOKEN, TPS, Broker, cycle, fetching, rows

ALL = set(map(TP._make, TPS))
LONG = 60.0


class Patient(Broker):
    """A broker that answers once, and keeps later fetches because there is nothing new."""

    async def send(self, node: int, request: Any) -> Any:
        if self.requests:
            await asyncio.get_running_loop().create_future()
        return await super().send(node, request)


def idle() -> float:
    return 0.0


def never() -> bool:
    return False


def always() -> bool:
    return True


def consumer_of(fetcher: Any) -> Any:
    return SimpleNamespace(_fetcher=fetcher, _subscription=fetcher._subscriptions, _closed=False)


async def test_what_an_answer_brings_is_handed_over_together_with_what_it_tells_of_all_logs() -> None:
    parts = dict.fromkeys(TPS, NOTHING) | {TPS[0]: ONE, TPS[3]: ONE}
    async with fetching(Patient(parts), by_hand=False, by_itself=True) as fetcher:
        before = int(1000 * time.time())
        found = await fetch(consumer_of(fetcher), set(ALL), LONG, idle, never)
        assert {tp: rows(records) for tp, records in found.records.items()} == {
            tp: [(FIRST, 5, b"k", b"value")] for tp in (TPS[0], TPS[3])
        }
        assert {tp: (look.end, look.reached) for tp, look in found.looks.items()} == {
            tp: (FIRST + 1, FIRST + 1) if tp in (TPS[0], TPS[3]) else (FIRST, FIRST) for tp in TPS
        }
        assert all(before <= look.seen_ms <= int(1000 * time.time()) for look in found.looks.values())


async def test_a_log_of_which_something_waits_is_not_read_to_its_end() -> None:
    async with fetching(Broker({TPS[0]: ONE, TPS[1]: (0, FIRST, FIRST, None, ONE[4])})) as fetcher:
        await cycle(fetcher)
        found = await fetch(consumer_of(fetcher), {TP("somewhere", 0)}, 0, idle, never)
        assert found.records == {}
        seen = found.looks[TPS[0]].seen_ms
        assert [found.looks[tp] for tp in TPS[:2]] == [Look(FIRST + 1, FIRST, seen)] * 2


async def test_a_partition_that_is_wanted_meanwhile_is_handed_over_once_the_fetch_looks_again() -> None:
    async with fetching(Broker({TPS[0]: ONE})) as fetcher:
        await cycle(fetcher)
        consumer, wanted = consumer_of(fetcher), {TP("somewhere", 0)}
        waiting = asyncio.create_task(fetch(consumer, wanted, LONG, idle, never))
        await asyncio.sleep(0)  # it begins to wait
        wanted.add(TP(*TPS[0]))
        wake(consumer)
        assert list((await waiting).records) == [TPS[0]]
        assert not fetcher._fetch_waiters


class Unhurried(Broker):
    """A broker that leaves others a turn of the event loop before it answers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.was_asked_thrice = asyncio.Event()

    async def send(self, node: int, request: Any) -> Any:
        await asyncio.sleep(0.001)
        if len(self.requests) == 3:
            self.was_asked_thrice.set()
        return await super().send(node, request)


@pytest.mark.parametrize("versions", [SPOKEN, {1: (4, 10)}], ids=["by hand", "by the library"])
async def test_an_answer_without_records_ends_a_fetch_while_somebody_is_held_back(
    versions: dict[int, tuple[int, int]],
) -> None:
    broker = Unhurried(dict.fromkeys(TPS, NOTHING), versions)
    async with fetching(broker, by_hand=False, by_itself=True) as fetcher:
        for _ in range(3):  # by a new answer each time
            answered = len(broker.requests)
            found = await fetch(consumer_of(fetcher), set(ALL), LONG, idle, always)
            assert len(broker.requests) > answered
            assert not found.records
            assert {(look.end, look.reached) for look in found.looks.values()} == {(FIRST, FIRST)}


async def test_answers_without_records_end_no_fetch_while_nobody_is_held_back() -> None:
    broker = Unhurried(dict.fromkeys(TPS, NOTHING))
    async with fetching(broker, by_hand=False, by_itself=True) as fetcher:
        fetched = asyncio.create_task(fetch(consumer_of(fetcher), set(ALL), LONG, idle, never))
        await broker.was_asked_thrice.wait()
        assert not fetched.done()
        broker.parts[TPS[0]] = ONE
        assert list((await fetched).records) == [TPS[0]]


async def test_no_fetch_leaves_before_events_are_wanted_and_then_one_does_at_once() -> None:
    broker, left = Broker({TPS[0]: ONE}), LONG
    async with fetching(broker, by_hand=False, by_itself=True) as fetcher:
        consumer = consumer_of(fetcher)
        assert not (await fetch(consumer, set(ALL), 0.01, lambda: left, never)).records
        assert broker.requests == []
        left = 0.0
        resume(consumer)
        assert list((await fetch(consumer, set(ALL), LONG, lambda: left, never)).records) == [TPS[0]]


async def test_a_fetch_that_was_put_off_leaves_when_nobody_says_so_sooner() -> None:
    broker, told = Broker({TPS[0]: ONE}), iter([0.01])
    async with fetching(broker, by_hand=False, by_itself=True) as fetcher:
        found = await fetch(consumer_of(fetcher), set(ALL), LONG, lambda: next(told, 0.0), never)
        assert list(found.records) == [TPS[0]]


async def test_a_fetch_that_nobody_answers_ends_and_leaves_nothing_behind() -> None:
    async with fetching(Broker({})) as fetcher:
        assert (await fetch(consumer_of(fetcher), set(ALL), 0.01, idle, never)).records == {}
        await asyncio.sleep(0)
        assert not fetcher._fetch_waiters


async def test_a_fetch_that_is_cancelled_leaves_nothing_behind() -> None:
    async with fetching(Broker({})) as fetcher:
        waiting = asyncio.create_task(fetch(consumer_of(fetcher), set(ALL), LONG, idle, never))
        await asyncio.sleep(0)  # it begins to wait
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not fetcher._fetch_waiters


async def test_what_the_group_refuses_reaches_who_waits() -> None:
    async with fetching(Broker({})) as fetcher:
        waiting = asyncio.create_task(fetch(consumer_of(fetcher), set(ALL), LONG, idle, never))
        await asyncio.sleep(0)  # it begins to wait
        fetcher._subscriptions.abort_waiters(TopicAuthorizationFailedError("bills"))
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting


async def test_what_a_broker_refuses_is_raised_after_what_others_have_brought() -> None:
    async with fetching(Broker({TPS[0]: (29, -1, -1, None, b""), TPS[1]: ONE})) as fetcher:
        await cycle(fetcher)
        consumer = consumer_of(fetcher)
        assert list((await fetch(consumer, set(ALL), 0, idle, never)).records) == [TPS[1]]
        with pytest.raises(TopicAuthorizationFailedError):
            await fetch(consumer, set(ALL), 0, idle, never)


async def test_nothing_is_fetched_of_a_consumer_that_was_stopped() -> None:
    async with fetching(Broker({})) as fetcher:
        consumer = consumer_of(fetcher)
        consumer._closed = True
        with pytest.raises(ConsumerStoppedError):
            await fetch(consumer, set(ALL), LONG, idle, never)


async def test_nothing_is_handed_over_while_partitions_are_given_to_others() -> None:
    async with fetching(Broker({TPS[0]: ONE})) as fetcher:
        await cycle(fetcher)
        subscriptions, consumer = SubscriptionState(), consumer_of(fetcher)
        subscriptions.subscribe({tp.topic for tp in TPS})
        fetcher._subscriptions = consumer._subscription = subscriptions
        waiting = asyncio.create_task(fetch(consumer, set(ALL), 0, idle, never))
        await asyncio.sleep(0)  # it begins to wait
        assert not waiting.done()
        subscriptions.assign_from_subscribed(set(TPS))
        assert list((await waiting).records) == [TPS[0]]
