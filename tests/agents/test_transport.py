"""What the transport makes of a fetch, without a broker."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from agents.chain import Chain
from agents.fetching import Fetched, Look
from agents.transport import Consumer, HandOver
from messages.records import RawRecords, Record

TPS = [TP("bills", 0), TP("bills", 1), TP("logins", 0)]


def records(first: int, last: int) -> RawRecords:
    return RawRecords.of([Record(b"{}", b"u", offset, 7) for offset in range(first, last + 1)])


class Transport(Consumer):
    """A consumer whose next fetch brings what it is told, and whose partitions have begun at offset 5."""

    flow_active, should_stop = True, False

    def __init__(self, brought: Mapping[TP, RawRecords], looks: Mapping[TP, Look]) -> None:
        self.fetched, self.sought = Fetched(brought, looks), list[TP]()
        self._tickets, self._chains = 1, {tp: Chain(1, 5) for tp in TPS}
        self._read_offset, self._wanted, self._room = {}, set(), asyncio.Event()
        intake = SimpleNamespace(by_event_time=True, progressed=lambda: None, sought_back=lambda topic: None)
        self.app: Any = SimpleNamespace(intake=intake, consumer_generation_id=1)

    async def _fetch(self, seconds: float) -> Fetched:
        return self.fetched

    def _go_to(self, offsets: Mapping[TP, int]) -> None:
        self.sought += offsets

    async def next(self) -> list[HandOver]:
        """What is handed over of the next fetch."""
        return [message.value async for _, message in self.getmany(1.0)]


LOOKS = {tp: Look(9, 7, 1_000) for tp in TPS}


async def test_a_look_is_taken_over_once_everything_that_was_fetched_is_handed_over() -> None:
    transport = Transport({TPS[0]: records(5, 6)}, LOOKS)
    (handed_over,) = await transport.next()
    assert [(batch.start, batch.end, batch.fetched_ms) for batch in handed_over.batches] == [(5, 7, 1_000)]
    assert [transport.unread(*tp, taken=5) for tp in TPS] == [4, 2, 2]
    assert [transport.seen_ms(*tp) for tp in TPS] == [1_000] * 3


async def test_before_anything_is_handed_over_all_that_was_fetched_counts_as_unread() -> None:
    transport = Transport({tp: records(5, 11) for tp in TPS}, LOOKS)
    for chain in transport._chains.values():
        chain.end = 5
    async for _ in transport.getmany(1.0):
        assert [transport.unread(*tp, taken=5) for tp in TPS] == [7] * 3


async def test_the_look_at_a_partition_that_was_sought_back_is_not_taken_over() -> None:
    transport = Transport({TPS[0]: records(6, 6), TPS[1]: records(5, 5)}, LOOKS)
    await transport.next()
    assert transport.sought == TPS[:1]
    assert [chain.end for chain in transport._chains.values()] == [None, 9, 9]


async def test_a_look_is_not_taken_over_by_who_began_while_records_were_handed_over() -> None:
    transport = Transport({TPS[0]: records(5, 6)}, LOOKS)
    async for _ in transport.getmany(1.0):
        transport._tickets += 1
        transport._chains[TPS[1]] = Chain(transport._tickets, 0)
        del transport._chains[TPS[2]]
    assert [chain.end for chain in transport._chains.values()] == [9, None]


async def test_partitions_that_want_more_join_the_fetch_on_its_way_and_the_others_are_not_asked() -> None:
    transport, asked = Transport({}, {}), list[str]()
    transport._active_partitions = set(TPS[:2])
    waiter = asyncio.get_running_loop().create_future()
    aiokafka: Any = SimpleNamespace(_fetcher=SimpleNamespace(_fetch_waiters={waiter}))
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: aiokafka)
    transport._thread = thread

    def wants(topic: str, number: int) -> bool:
        asked.append(f"{topic}[{number}]")
        return True

    transport.app.intake.wants = wants
    transport.nudge()
    assert asked == []
    transport._wanted = on_its_way = {TPS[0]}
    transport.nudge()
    assert (asked, on_its_way, waiter.done()) == (["bills[1]"], set(TPS[:2]), True)
