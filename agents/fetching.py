"""Fetching: records as columns, and what is known of every partition at that very moment.

The looks are taken in the same step as the records, because the answers to later fetches come at any time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service
from mode.utils.futures import maybe_async

from agents.asking import Asking
from agents.fetched import take
from messages.records import RawRecords

#: How long a broker may keep a fetch that finds nothing, ms. aiokafka has one fetch per broker under way, without the
#: partitions whose last answer still waits to be taken: those must not be kept waiting by topics that are empty.
WAIT_MS, WAIT_FOR_OTHERS_MS = 100, 5
#: Seconds that an answer has to be taken before the next fetch leaves without the partitions that are in it.
TAKING_SECONDS = 0.003


class Look(NamedTuple):
    """One partition as the newest response told, once everything that was fetched of it is handed over.

    `end` is the end of its log, `reached` how far it is read, offsets without records (transaction markers, compacted
    ones) included, `seen_ms` when the response came, by this machine's clock.
    """

    end: int
    reached: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one call of `fetch` found."""

    records: Mapping[TP, RawRecords]
    looks: Mapping[TP, Look]


NOTHING = Fetched({}, {})


class InLoop(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer, run by the loop of those who use it: what makes Faust's a thread is taken back.

    A thread of its own would wait for the interpreter while a batch is decided, and the batch for it; what it saves,
    heartbeats while somebody blocks the loop for seconds, is not needed: nobody does (ADR 0016).
    """

    wait_for_shutdown = False
    maybe_start, start, stop = Service.maybe_start, Service.start, Service.stop
    _stopped_set, _stop_children = Service._stopped_set, Service._stop_children
    _stop_futures, _stop_exit_stacks = Service._stop_futures, Service._stop_exit_stacks

    def __init__(self, consumer: Any, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(consumer, loop=loop, thread_loop=loop, **options)

    async def crash(self, exc: BaseException) -> None:
        """End the app."""
        await Service.crash(self, exc)

    async def on_stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*args, **kwargs))

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop=loop)
        # Faust's 1.5 s are in the way from the first fetch on: a broker answers the requests of a connection one after
        # the other, so a new owner's questions about the logs would wait behind it.
        consumer._fetch_max_wait_ms = WAIT_MS
        return consumer


async def fetch(
    consumer: Any, wanted: set[TP], seconds: float, until_wanted: Callable[[], float], is_held_back: Callable[[], bool]
) -> Fetched:
    """Wait for records of `wanted`, which may grow meanwhile (`wake`), for at most `seconds`.

    `consumer` is an aiokafka consumer with an assignment; `until_wanted()` says for how long (s) nobody has a use for
    more, unless `resume` is called. Where somebody `is_held_back()`, an answer ends the wait, whatever it brings: that
    a log has nothing more may be what he waits for. Raises ConsumerStoppedError, and KafkaError for what the broker
    said of a partition.
    """
    fetcher = consumer._fetcher
    until, woken = time.monotonic() + seconds, False
    with fetcher._subscriptions.fetch_context():
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            _pace(fetcher, until_wanted)
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()  # what was fetched may not be ours any more
            found = take(fetcher, wanted)
            left = until - time.monotonic()
            if found or left <= 0 or (woken and is_held_back()):
                return Fetched(found, _looks(consumer))
            waiter = fetcher._create_fetch_waiter()
            late = asyncio.get_running_loop().call_later(left, fetcher._notify, waiter)
            try:
                await waiter  # raises what the broker refused
                woken = True
            finally:
                late.cancel()


def wake(consumer: Any) -> None:
    """Let a waiting `fetch` look again."""
    for waiter in list(consumer._fetcher._fetch_waiters):
        if not waiter.done():
            waiter.set_result(None)


def resume(consumer: Any) -> None:
    """Send the fetch that was put off until events are wanted."""
    fetcher = consumer._fetcher
    fetcher._notify(fetcher._wait_consume_future)


def _pace(fetcher: Any, until_wanted: Callable[[], float]) -> None:
    """Have every fetch from now on sent when somebody has a use for what it brings, and wait no longer than it may.

    aiokafka fetches nothing from a broker for 100 ms while an answer of it waits to be taken: one partition that has
    enough to do would hold up all others.
    """
    if "_get_actions_per_node" in vars(fetcher):
        return
    usual = Asking(fetcher).actions

    def paced(assignment: Any) -> Any:
        left = until_wanted()
        if left > 0:
            return [], {}, left, False, []
        fetcher._fetch_max_wait_ms = WAIT_FOR_OTHERS_MS if fetcher._records else WAIT_MS
        return usual(assignment)

    fetcher._get_actions_per_node = paced
    fetcher._prefetch_backoff = TAKING_SECONDS


def _looks(consumer: Any) -> dict[TP, Look]:
    subscription = consumer._subscription.subscription
    assignment = subscription and subscription.assignment
    if assignment is None:
        return {}
    waiting = consumer._fetcher._records
    looks = {}
    for tp, state in assignment._tp_state.items():
        end, reached = state.highwater, state._position
        if end is not None and reached is not None:
            if end <= reached and tp in waiting:
                end = reached + 1
            looks[tp] = Look(end, reached, state.timestamp or 0)
    return looks
