import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agents.health import Health
from agents.monitor import deliver
from agents.transport import RecordBatch
from decisions.work import Work
from features.record import RECORD
from messages.journal import JOURNAL, journal_entry
from messages.message import Message
from messages.records import RawRecords
from store.contract import (
    Commit,
    Header,
    LimitView,
    Opened,
    PartitionStore,
    StaleOwner,
    StoreUnavailable,
    TopicPosition,
)
from store.memory import MemoryStore
from tests.agents.bench import EPOCH, Bench, Killed, Owner, Published
from tests.agents.cluster import START_MS
from tests.agents.standins import LATENESS, decide_each

START = START_MS // 1000


class FailingView:
    """A view of which some calls fail, before or after they have done their work."""

    def __init__(self, view: PartitionStore, faults: dict[str, list[str]]) -> None:
        self._view, self._faults = view, faults

    async def _call(self, name: str, *arguments: Any) -> Any:
        fault = self._faults[name].pop(0) if self._faults.get(name) else ""
        if fault == "before":
            raise StoreUnavailable(name)
        result = await getattr(self._view, name)(*arguments)
        if fault == "after":
            raise StoreUnavailable(name)
        return result

    async def open(self) -> Opened:
        opened: Opened = await self._call("open")
        return opened

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        loaded: list[bytes | None] = await self._call("load", users)
        return loaded

    async def due(self, until: int, limit: int) -> list[str]:
        due: list[str] = await self._call("due", until, limit)
        return due

    async def first_timer(self) -> int:
        first: int = await self._call("first_timer")
        return first

    async def commit(self, commit: Commit) -> None:
        await self._call("commit", commit)

    async def close(self) -> None:
        await self._view.close()


class FailingStore(MemoryStore):
    """A store whose views fail as `faults` says: by call, for each time "", "before" or "after"."""

    def __init__(self, **faults: list[str]) -> None:
        super().__init__()
        self.faults = faults

    def partition(self, number: int) -> Any:
        return FailingView(super().partition(number), self.faults)


def dies_at(point: str, times: int = 1) -> Any:
    left = times

    def reached(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            left = -1
            raise Killed(point)

    return reached


async def counts(bench: Bench, *users: str) -> list[int]:
    blobs = await bench.store.partition(0).load(users)
    return [int(np.frombuffer(blob, RECORD)[0]["events"]) if blob else 0 for blob in blobs]


def causes(messages: Sequence[Message]) -> list[str]:
    return [body["cause"] for body in (json.loads(message.value) for message in messages) if "cause" in body]


def fill(bench: Bench, events: int = 6) -> None:
    for number in range(events):
        bench.send(("purchases", "repayments")[number % 2], f"u{number % 3}", number, number)


async def test_a_hand_over_from_before_the_newest_start_is_expected_by_nobody() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    records = RawRecords.of(bench.records_of["purchases"])
    late = RecordBatch("purchases", 0, 0, len(records), records, ticket=0)
    decoder, meters = owner.deps.decoder, owner.deps.meters
    assert deliver([late], {0: owner.partition}, decoder, meters) is False
    assert deliver([late], {}, decoder, meters) is False
    await owner.stop()
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]


async def test_events_of_several_topics_are_decided_in_order_of_event_time() -> None:
    bench = Bench(MemoryStore())
    for number in (0, 2, 4):
        bench.send("repayments", "u1", number, number)
    for number in (1, 3):
        bench.send("purchases", "u1", number, number)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    expected = ["repayments/0", "purchases/0", "repayments/1", "purchases/1", "repayments/2"]
    assert causes(bench.published.of("warnings")) == expected
    assert bench.failures == []


@pytest.mark.parametrize("point", ["dead-letters", "decided", "committed", "journaled", "published", "acknowledged"])
async def test_a_death_at_any_point_loses_nothing_and_applies_nothing_twice(point: str) -> None:
    bench = Bench(MemoryStore(), batch_size=2)
    fill(bench)
    await bench.owner(reached=dies_at(point, times=2)).died()
    owner = bench.owner()
    await owner.until(lambda: len(set(causes(bench.published.of("warnings")))) == 6)
    await owner.stop()
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]
    values: dict[str, set[Any]] = {cause: set() for cause in causes(bench.published.of("warnings"))}
    for message in bench.published.of("warnings"):
        values.setdefault(json.loads(message.value)["cause"], set()).add((message.value, message.headers))
    assert len(values) == 6
    assert all(len(different) == 1 for different in values.values())


class Held(Published):
    """A publisher whose journal takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def record(self, entry: Message, partition: int) -> int:
        await self.go.wait()
        return await super().record(entry, partition)


async def until_committed(bench: Bench, batches: int) -> Opened:
    """The store after at least so many commits, and after some turns of the loop in which there might be more."""
    while True:
        opened = await bench.store.partition(0).open()
        if opened.header.commits >= batches:
            break
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    return await bench.store.partition(0).open()


async def stalled() -> tuple[Bench, Held, Owner, Opened]:
    """An owner with a backlog whose publisher stalls, and what is in the store when nothing more happens."""
    bench = Bench(MemoryStore(), batch_size=2)
    bench.published = held = Held()
    fill(bench, 8)
    owner = bench.owner()
    async with asyncio.timeout(10):
        return bench, held, owner, await until_committed(bench, 2)


async def test_a_backlog_goes_on_while_one_commits_decisions_are_on_their_way_and_no_further() -> None:
    _, held, owner, opened = await stalled()
    assert opened.header.commits == 2
    assert [journal_entry(message.value).number for message in opened.outbox if message.topic == JOURNAL] == [1, 2]
    assert held.messages == []
    held.go.set()
    await owner.finished()
    await owner.stop()
    assert [journal_entry(message.value).number for message in held.of(JOURNAL)] == [1, 2, 3, 4]
    assert len(set(causes(held.of("warnings")))) == len(causes(held.of("warnings"))) == 8
    assert held.messages[0].topic == JOURNAL


async def test_the_next_owner_publishes_what_two_commits_left_in_their_order() -> None:
    bench, held, first, opened = await stalled()
    first.task.cancel()
    await asyncio.gather(first.task, return_exceptions=True)
    held.go.set()
    second = bench.owner()
    await second.finished()
    await second.stop()
    entries = [journal_entry(message.value).number for message in held.of(JOURNAL)]
    assert entries == [1, 2, 3, 4]
    decided = [message for message in opened.outbox if message.topic != JOURNAL]
    assert held.of("warnings")[: len(decided)] == decided
    assert await counts(bench, "u0", "u1", "u2") == [3, 3, 2]


async def test_while_there_is_no_backlog_nothing_more_is_decided_until_the_last_decisions_are_out() -> None:
    bench = Bench(MemoryStore())
    bench.published = held = Held()
    fill(bench, 2)
    owner = bench.owner()
    async with asyncio.timeout(10):
        await until_committed(bench, 1)
    fill(bench, 2)
    owner.feed()
    async with asyncio.timeout(10):
        opened = await until_committed(bench, 1)
    assert opened.header.commits == 1
    held.go.set()
    await owner.finished()
    await owner.stop()
    assert len(causes(held.of("warnings"))) == 4


async def test_the_next_owner_publishes_what_was_committed_and_never_published() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    await bench.owner(reached=dies_at("committed")).died()
    assert bench.published.of("warnings") == []
    entry, *left = (await bench.store.partition(0).open()).outbox
    assert entry.topic == JOURNAL
    owner = bench.owner()
    await owner.until(lambda: len(bench.published.of("warnings")) == 6)
    await owner.stop()
    assert bench.published.of("warnings") == left


async def test_the_next_owner_projects_limits_that_were_committed_and_never_projected() -> None:
    bench = Bench(MemoryStore())
    adjustment = {"user_id": "u", "direction": "frozen", "new_limit": 70, "limit_version": 3}
    adjustment |= {"grade": "C", "default_probability": 0.5}
    message = Message("limit-adjustments", b"u", json.dumps(adjustment).encode())
    view = bench.store.partition(0)
    await view.open()
    await view.commit(Commit(header=Header(commits=1), position={}, outbox=(message,)))
    owner = bench.owner()
    await owner.until(lambda: bench.published.of("limit-adjustments") == [message])
    await owner.stop()
    assert await bench.store.limit_of("u") == LimitView(
        "u", 70, frozen=True, grade="C", default_probability=0.5, version=3
    )


@pytest.mark.parametrize("call", ["due", "commit"])
async def test_limits_that_redis_forgot_after_their_commit_are_projected_again(call: str) -> None:
    store = FailingStore()
    bench = Bench(store)
    adjustment = {"user_id": "u", "direction": "frozen", "new_limit": 70, "limit_version": 3}
    adjustment |= {"grade": "C", "default_probability": 0.5}
    message = Message("limit-adjustments", b"u", json.dumps(adjustment).encode())
    view = store.partition(0)
    await view.open()
    await view.commit(Commit(header=Header(commits=1), position={}, outbox=(message,)))
    fill(bench)
    owner = bench.owner(decide=with_a_limit)
    await owner.finished()
    assert await store.limit_of("u0") is not None
    store._limits.clear()  # the last second, after a restart that broke the connection
    store.faults[call] = ["before"]
    projected = asyncio.Event()
    write = store.project_limits

    async def noted(limits: Sequence[LimitView]) -> None:
        await write(limits)
        if any(view.user == "u0" for view in limits):
            projected.set()

    store.project_limits = noted  # type: ignore[method-assign]
    if call == "commit":
        bench.send("purchases", "u1", 100, 20)
        owner.feed()
    async with asyncio.timeout(10):
        await projected.wait()
    await owner.stop()


def with_a_limit(works: Sequence[Work], in_force: Any) -> Any:
    """Decide as ever, and adjust the limit of every user who comes."""
    (outcome,) = decide_each(works, in_force)
    users = dict.fromkeys(message.key for message in outcome.decisions)
    adjustment = {"direction": "raised", "new_limit": 70, "limit_version": 1, "grade": "A", "default_probability": 0.5}
    for user in users:
        body = json.dumps(adjustment | {"user_id": (user or b"").decode()}).encode()
        outcome.decisions.append(Message("limit-adjustments", user, body))
    return [outcome]


async def test_a_stale_owner_publishes_nothing_and_goes_on_behind_the_other() -> None:
    bench = Bench(MemoryStore())
    fill(bench, 4)
    other: list[Any] = []

    def overtake(name: str) -> None:
        if name == "decided" and not other:
            other.append(None)
            view = bench.store.partition(0)
            opened = drive(view.open())
            position = {"purchases": TopicPosition(1, EPOCH), "repayments": TopicPosition(0, EPOCH)}
            drive(view.commit(Commit(header=opened.header, position=position)))

    owner = bench.owner(reached=overtake)
    await owner.until(lambda: len(owner.acknowledged) == 2)
    await owner.stop()
    assert causes(bench.published.of("warnings")) == ["repayments/0", "purchases/1", "repayments/1"]
    assert Counter(causes(bench.published.of("warnings"))).most_common(1)[0][1] == 1


def drive(call: Any) -> Any:
    """The result of a coroutine of the memory store, which never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_commit_whose_fate_is_unknown_is_made_once(fault: str) -> None:
    bench = Bench(FailingStore(commit=["", fault], open=["", "before"]), batch_size=2)
    fill(bench)
    notes = _Notes(lambda: None)
    owner = bench.owner(meters=notes)
    await owner.finished()
    await owner.stop()
    assert "stale_owner" not in notes.calls
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]
    assert len(causes(bench.published.of("warnings"))) == 6
    assert bench.failures == []


@pytest.mark.parametrize("call", ["open", "load", "due", "commit"])
async def test_a_store_that_is_away_for_a_while_is_waited_for(call: str) -> None:
    bench = Bench(FailingStore(**{call: ["before", "before"]}))
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    assert owner.deps.health.store_reachable
    await owner.stop()
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]


async def test_readiness_is_lost_while_the_store_is_away() -> None:
    reasons: list[str] = []
    store = FailingStore(due=["before"])
    bench = Bench(store)
    fill(bench)
    health = Health()
    owner = bench.owner(health=health, meters=_Notes(lambda: reasons.extend(health.reasons())))
    await owner.finished()
    await owner.stop()
    assert "the store is unavailable" in reasons


class _Notes:
    """Meters that call back at a retry and remember what else was called."""

    def __init__(self, at_retry: Callable[[], object]) -> None:
        self._at_retry = at_retry
        self.calls: set[str] = set()

    def retried(self, dependency: str) -> None:
        self._at_retry()

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.calls.add(name)


async def test_dead_letters_are_published_before_the_commit_and_block_nothing() -> None:
    bench = Bench(MemoryStore())
    bench.send("purchases", "u1", 0, 0)
    bench.send_bytes("purchases", b"{not json")
    bench.send("purchases", "u1", 1, 1)
    await bench.owner(reached=dies_at("dead-letters")).died()
    assert [message.value for message in bench.published.messages] == [b"{not json"]
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    assert await counts(bench, "u1") == [2]
    assert len(set(bench.published.of("dead-letters"))) == 1


async def test_a_due_timer_fires_before_the_event_that_makes_it_due_is_behind_it() -> None:
    bench = Bench(MemoryStore())
    bench.send("purchases", "u1", 0, 0)
    bench.send("repayments", "u2", 0, 10 * LATENESS)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    timers = [json.loads(message.value) for message in bench.published.of("warnings") if b"timer" in message.value]
    assert timers == [{"user": "u1", "timer": START + 1}]


async def test_more_timers_than_fit_into_one_commit_fire_in_their_order() -> None:
    async def fired(batch_size: int) -> list[bytes]:
        bench = Bench(MemoryStore(), batch_size=batch_size)
        for number in range(25):
            bench.send("purchases", f"u{number:02}", number, number // 2)
        bench.send("purchases", "last", 99, 10 * LATENESS)
        owner = bench.owner()
        await owner.finished()
        await owner.stop()
        assert bench.failures == []
        return [message.value for message in bench.published.of("warnings") if b"timer" in message.value]

    whole, parts = await fired(8_000), await fired(3)
    assert len(whole) == 25
    assert parts == whole


async def test_more_timers_in_one_second_than_fit_into_one_commit_all_fire() -> None:
    bench = Bench(MemoryStore(), batch_size=2)
    for number in range(7):
        bench.send("purchases", f"u{number}", number, 0)
    bench.send("purchases", "last", 99, 10 * LATENESS)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    assert sum(b"timer" in message.value for message in bench.published.of("warnings")) == 7


async def test_the_clock_fires_timers_without_events_once_everything_is_read() -> None:
    clock = (START + 5) * 1000
    bench = Bench(MemoryStore(), time_mode="clock", clock_ms=lambda: clock)
    bench.send("purchases", "u1", 0, 0)
    owner = bench.owner()
    await owner.finished()
    assert not any(b"timer" in message.value for message in bench.published.messages)
    clock += 2 * LATENESS * 1000
    await owner.until(lambda: any(b"timer" in message.value for message in bench.published.messages))
    await owner.stop()
    header = (await bench.store.partition(0).open()).header
    assert (header.clock, header.watermark) == (clock, clock // 1000 - LATENESS)


async def test_the_versions_in_force_and_the_position_are_in_the_commit() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    opened = await bench.store.partition(0).open()
    header = opened.header
    assert (header.policy, header.market, header.model) == ("policy@1", "market@1", "model@1")
    assert header.commits >= 1
    assert opened.position["purchases"] == TopicPosition(3, EPOCH)
    assert opened.position["bills"] == TopicPosition(0, EPOCH)


async def test_a_position_beyond_the_log_stops_the_worker_and_acknowledges_nothing() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner()
    await owner.finished()
    await owner.stop()
    bench.records_of["purchases"].clear()
    again = bench.owner()
    await again.task
    assert again.acknowledged == []
    (failure,) = bench.failures
    assert "beyond the log's end" in str(failure)


async def test_an_error_while_deciding_stops_the_worker_with_nothing_committed() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    bench = Bench(MemoryStore())
    fill(bench)
    owner = bench.owner(decide=broken)
    await owner.task
    assert owner.acknowledged == []
    assert isinstance(bench.failures[0], ZeroDivisionError)
    assert (await bench.store.partition(0).open()).position == {}


async def test_a_partition_that_was_taken_away_can_be_owned_again() -> None:
    bench = Bench(MemoryStore())
    fill(bench)
    first = bench.owner()
    await first.finished()
    await first.stop()
    fill(bench)
    second = bench.owner()
    await second.finished()
    await second.stop()
    assert await counts(bench, "u0", "u1", "u2") == [4, 4, 4]
    assert len(set(causes(bench.published.of("warnings")))) == 12


async def test_what_is_decided_does_not_depend_on_the_batch_size() -> None:
    async def published(size: int) -> list[Message]:
        bench = Bench(MemoryStore(), batch_size=size)
        for number in range(40):  # users whose timers all come due in what follows
            bench.send("purchases", f"u{number:02}", number, number // 4)
        for number in range(60):
            bench.send(
                ("purchases", "repayments")[number % 2], f"u{number % 50:02}", 100 + number, LATENESS + number // 3
            )
        owner = bench.owner()
        await owner.finished()
        await owner.stop()
        assert bench.failures == []
        return bench.published.of("warnings")

    one, seven, many = await published(1), await published(7), await published(8_000)
    assert sum(b"timer" in message.value for message in many) > 20
    assert one == seven == many


async def test_a_commit_of_unknown_fate_is_given_up_when_somebody_else_has_moved_the_partition() -> None:
    bench = Bench(FailingStore(commit=["before"]))
    fill(bench, 4)

    def overtake() -> None:
        view = MemoryStore.partition(bench.store, 0)  # type: ignore[arg-type]
        drive(view.open())
        position = {"purchases": TopicPosition(1, EPOCH), "repayments": TopicPosition(0, EPOCH)}
        drive(view.commit(Commit(header=Header(commits=5), position=position)))

    owner = bench.owner(meters=_Notes(overtake))
    await owner.until(lambda: len(owner.acknowledged) == 2)
    await owner.stop()
    assert causes(bench.published.of("warnings")) == ["repayments/0", "purchases/1", "repayments/1"]


async def test_losing_the_partition_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Lost(MemoryStore):
        refused = False

        def partition(self, number: int) -> Any:
            view = super().partition(number)
            commit = view.commit

            async def refuse(wanted: Commit) -> None:
                if not self.refused:
                    self.refused = True
                    raise StaleOwner("somebody else moved it")
                await commit(wanted)

            view.commit = refuse  # type: ignore[method-assign, assignment]
            return view

    bench = Bench(Lost())
    fill(bench)
    owner = bench.owner()
    with caplog.at_level(logging.WARNING):
        await owner.finished()
    await owner.stop()
    assert any("dropping cache and batch" in record.message for record in caplog.records)
    assert await counts(bench, "u0", "u1", "u2") == [2, 2, 2]
