"""A store that comes back older than it was: what the journal knows is decided again as it was."""

import copy
import logging
from collections import Counter
from typing import Any

import pytest

from agents.journal import lost_entries
from app.broker import Bounds
from app.positions import Move, Placed, apply_moves
from messages.journal import JOURNAL, JournalEntry, TopicRange
from messages.message import Message
from store.contract import TopicPosition
from store.memory import MemoryStore
from tests.agents.bench import EPOCH, Bench
from tests.agents.test_partition import causes, counts, dies_at, fill


def older(store: MemoryStore) -> MemoryStore:
    """What a snapshot of the store would hold."""
    return copy.deepcopy(store)


def differing(messages: list[Message]) -> int:
    """How many causes were decided in more than one way."""
    ways: dict[str, set[Any]] = {}
    for message in messages:
        (cause,) = causes([message]) or [message.value.decode()]
        ways.setdefault(cause, set()).add((message.value, message.headers))
    return sum(len(different) > 1 for different in ways.values())


async def arriving_late(bench: Bench, owner: Any, number: int) -> None:
    """One event after the other, each topic's older than what was decided: no order but that of arrival."""
    bench.send(("repayments", "purchases")[number % 2], "u0", 100 + number, 30 - number)
    owner.feed()
    await owner.finished()


async def run_ahead_of_a_snapshot(bench: Bench) -> MemoryStore:
    """Decide some events, and then more in the order of their arrival; the store as it was in between."""
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    assert isinstance(bench.store, MemoryStore)
    snapshot = older(bench.store)
    for number in range(6):
        await arriving_late(bench, owner, number)
    await owner.stop()
    return snapshot


async def test_what_the_store_has_forgotten_is_decided_again_in_the_order_of_its_arrival() -> None:
    bench = Bench(MemoryStore())
    snapshot = await run_ahead_of_a_snapshot(bench)
    decided = bench.published.of("warnings")
    bench.store = snapshot
    bench.send("purchases", "u1", 200, 40)
    again = bench.owner()
    newest = f"purchases/{len(bench.records_of['purchases'])}"
    await again.until(lambda: newest in again.acknowledged)
    await again.stop()
    assert len(bench.published.of("warnings")) >= 2 * len(decided) - 6 + 1
    assert bench.failures == []
    assert differing(bench.published.of("warnings")) == 0
    assert await counts(bench, "u0", "u1", "u2") == [8, 3, 2]


async def test_an_owner_whose_store_comes_back_older_under_it_goes_on_from_there() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    store = bench.store
    assert isinstance(store, MemoryStore)
    kept = copy.deepcopy(store._partitions[0])
    for number in range(4):
        await arriving_late(bench, owner, number)
    old = store._partitions[0]
    for name in ("header", "position", "records", "timers", "queue", "outbox", "token"):
        setattr(old, name, getattr(kept, name))
    bench.send("purchases", "u1", 200, 40)
    owner.feed()
    await owner.until(lambda: f"purchases/{len(bench.records_of['purchases'])}" in owner.acknowledged)
    await owner.stop()
    assert await counts(bench, "u0", "u1", "u2") == [6, 3, 2]
    assert differing(bench.published.of("warnings")) == 0


@pytest.mark.parametrize("point", ["decided", "committed", "journaled", "published"])
async def test_a_death_while_restoring_is_made_good_by_the_next_owner(point: str) -> None:
    bench = Bench(MemoryStore())
    bench.store = await run_ahead_of_a_snapshot(bench)
    await bench.owner(reached=dies_at(point, times=3)).died()
    bench.send("purchases", "u1", 200, 40)
    last = bench.owner()
    await last.until(lambda: f"purchases/{len(bench.records_of['purchases'])}" in last.acknowledged)
    await last.stop()
    assert await counts(bench, "u0", "u1", "u2") == [8, 3, 2]
    assert differing(bench.published.of("warnings")) == 0


async def test_an_empty_store_is_filled_from_the_journal() -> None:
    bench = Bench(MemoryStore(), batch_size=2)
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    decided = bench.published.of("warnings")
    bench.store = MemoryStore()
    again = bench.owner()
    await again.until(lambda: len(bench.published.of("warnings")) == 2 * len(decided))
    await again.stop()
    assert bench.published.of("warnings") == 2 * decided
    assert Counter(bench.published.of(JOURNAL)).most_common()[-1][1] == 2


async def test_a_position_that_was_set_by_hand_is_restored_too() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    assert isinstance(bench.store, MemoryStore)
    snapshot = older(bench.store)
    bench.send("purchases", "u0", 50, 50)  # which is to be skipped
    bench.send("purchases", "u0", 51, 51)
    stored = TopicPosition(3, EPOCH)
    move = Move(Placed("purchases", 0, stored, EPOCH, Bounds(0, 5)), TopicPosition(4, EPOCH), skipped=1)
    assert (await apply_moves(bench.store, [move])).moved == [0]
    second = bench.owner()
    await second.until(lambda: "purchases/5" in second.acknowledged)
    await second.stop()
    decided = bench.published.of("warnings")
    bench.store = snapshot
    third = bench.owner()
    await third.until(lambda: len(bench.published.of("warnings")) == len(decided) + 7)
    await third.stop()
    assert differing(bench.published.of("warnings")) == 0
    assert await counts(bench, "u0") == [3]
    assert (await bench.store.partition(0).open()).position["purchases"] == TopicPosition(5, EPOCH)


async def test_what_cannot_be_decided_as_it_was_is_said_and_decided_anew(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    bench.store = MemoryStore()
    again = bench.owner()
    again.deps.broadcasts.now.policy.version = "policy@2"  # type: ignore[attr-defined]
    with caplog.at_level(logging.CRITICAL):
        await again.finished()
    await again.stop()
    assert "may be decided otherwise" in caplog.text
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]


def entry(number: int, begin: int, end: int, epoch: str = EPOCH) -> JournalEntry:
    return JournalEntry(
        partition=0, number=number, clock=0, watermark=0, policy="", market="", model="",
        topics=(TopicRange(topic="bills", epoch=epoch, begin=begin, end=end),), order="0" * (end - begin),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "lost"),
    [
        pytest.param([], [], id="an empty journal"),
        pytest.param([entry(4, 5, 7)], [], id="nothing after the store"),
        pytest.param([entry(4, 5, 7), entry(5, 7, 8), entry(6, 8, 8)], [5, 6], id="two batches"),
        pytest.param([entry(5, 7, 8), entry(5, 7, 8), entry(4, 5, 7), entry(6, 8, 8)], [5, 6], id="repeats"),
        pytest.param([entry(5, 7, 8), entry(7, 9, 9)], [5], id="a hole"),
        pytest.param([entry(5, 6, 8)], [], id="after the position was reset"),
        pytest.param([entry(5, 7, 8, "new")], [], id="after the topic was recreated"),
        pytest.param([entry(5, 7, 8), entry(6, 9, 9)], [5], id="a reset in between"),
    ],
)
def test_the_lost_entries_are_those_that_join_on(entries: list[JournalEntry], lost: list[int]) -> None:
    found = lost_entries(entries, 4, {"bills": TopicPosition(7, EPOCH)})
    assert [one.number for one in found] == lost
