"""Fetching: records as columns, and what is known of every partition at that very moment.

aiokafka makes objects of every record; here an answer's bytes are kept, and its records are found in them by a kernel.
The looks are taken in the same step as the records, because the answers to later fetches come at any time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.errors import ConsumerStoppedError
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service
from mode.utils.futures import maybe_async

from messages.records import RawRecords
from messages.unpacking import unpacked

#: How long a broker may keep a fetch that finds nothing, ms. aiokafka has one fetch per broker under way, without the
#: partitions whose last answer still waits to be taken: those must not be kept waiting by topics that are empty.
WAIT_MS, WAIT_FOR_OTHERS_MS = 100, 5
#: While everybody is busy an answer would only wait: the broker may let so many bytes come together first. It comes so
#: many seconds before it is needed, for the way and for decoding.
PLENTY, AHEAD_SECONDS = 64 << 10, 0.002
#: Seconds that an answer has to be taken before the next fetch leaves without the partitions that are in it.
TAKING_SECONDS = 0.003


@dataclass(frozen=True, slots=True)
class Look:
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


async def fetch(consumer: Any, wanted: set[TP], seconds: float, until_next: Callable[[], float]) -> Fetched:
    """Wait for records of `wanted`, which may grow meanwhile (`wake`), for at most `seconds`.

    `consumer` is an aiokafka consumer with an assignment; `until_next()` says for how long (s) nobody has a use for
    more. Raises ConsumerStoppedError, and KafkaError for what the broker said of a partition.
    """
    fetcher = consumer._fetcher
    until = time.monotonic() + seconds
    with fetcher._subscriptions.fetch_context():
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            _pace(fetcher, until_next)
            _keep_whole(fetcher)
            found = await fetcher.fetched_records(wanted, timeout=0)
            left = until - time.monotonic()
            if found or left <= 0:
                return Fetched({tp: records for tp, (records,) in found.items()}, _looks(consumer))
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=left)
            if waiter.done():
                waiter.result()  # raises what the broker refused
            else:
                waiter.cancel()


def wake(consumer: Any) -> None:
    """Let a waiting `fetch` look again."""
    for waiter in list(consumer._fetcher._fetch_waiters):
        if not waiter.done():
            waiter.set_result(None)


def _pace(fetcher: Any, until_next: Callable[[], float]) -> None:
    """Have every fetch from now on wait as long as it may, but no longer, and bring together what is needed together.

    aiokafka fetches nothing from a broker for 100 ms while an answer of it waits to be taken: one partition that has
    enough to do would hold up all others.
    """
    if "_get_actions_per_node" in vars(fetcher):
        return
    usual = fetcher._get_actions_per_node

    def paced(assignment: Any) -> Any:
        left_ms = int(1000 * (until_next() - AHEAD_SECONDS))
        longest = WAIT_FOR_OTHERS_MS if fetcher._records else WAIT_MS
        fetcher._fetch_max_wait_ms = left_ms if left_ms > 0 else longest
        fetcher._fetch_min_bytes = PLENTY if left_ms > 0 else 1
        return usual(assignment)

    fetcher._get_actions_per_node = paced
    fetcher._prefetch_backoff = TAKING_SECONDS


def _keep_whole(fetcher: Any) -> None:
    """Have every answer that waits give its records as columns, all at once."""
    for answer in fetcher._records.values():
        parsed = getattr(answer, "_partition_records", None)
        if parsed is not None:
            parsed._records_iterator = _columns_of(parsed)


def _columns_of(parsed: Any) -> Iterator[RawRecords]:
    """The records of a PartitionRecords of aiokafka's, and its position behind them.

    Raises KafkaError where aiokafka does.
    """
    found = unpacked(parsed._records.answer, parsed.next_fetch_offset)
    if found is None:
        parsed._consumer_record = _as_it_is
        records = RawRecords.of(list(parsed._unpack_records()))
    else:
        records, parsed.next_fetch_offset = found
    if len(records):
        yield records


def _as_it_is(_partition: Any, record: Any) -> Any:
    return record


class _Answer:
    """aiokafka's MemoryRecords, which keep the bytes to themselves, with the bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._records = MemoryRecords(answer)
        self.has_next, self.next_batch = self._records.has_next, self._records.next_batch
        self.size_in_bytes = self._records.size_in_bytes


#: The fetchers of this process make these. Nothing changes for the consumers that do not look into them.
fetcher_module.MemoryRecords = _Answer


def _looks(consumer: Any) -> dict[TP, Look]:
    subscription = consumer._subscription.subscription
    assignment = subscription and subscription.assignment
    if assignment is None:
        return {}
    waiting = consumer._fetcher._records
    looks = {}
    for tp in assignment.tps:
        state = assignment.state_value(tp)
        if state.highwater is not None and state.has_valid_position:
            position = state.position
            end = max(state.highwater, position + 1) if tp in waiting else state.highwater
            looks[tp] = Look(end, position, state.timestamp or 0)
    return looks
