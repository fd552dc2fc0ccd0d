"""Partitions that decide in rounds, with a stand-in for deciding that notes who was together."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from agents.rounds import ENOUGH, LONGEST, Rounds
from decisions.work import Work
from features.record import RECORD
from messages.columns import EVENT, Events


def work(name: str, events: int = 1) -> Work:
    words = [""] * events
    columns = Events(np.zeros(events, EVENT), words, words, words, (), *np.zeros((3, events), np.int64))
    return Work(np.zeros(0, RECORD), columns, [name], 0)


class Calls:
    """Decides nothing: the outcome of a work is its only user, and each call is noted."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []

    def __call__(self, works: Sequence[Work], in_force: Any) -> Any:
        self.rounds.append([work.users[0] for work in works])
        if "bad" in self.rounds[-1]:
            raise ZeroDivisionError("a bug")
        return [work.users[0] for work in works]


class Forces(list[str]):
    """Something in force: like others, and not the same."""


IN_FORCE: Any = Forces()


@pytest.fixture(name="calls")
def _calls() -> Calls:
    return Calls()


@pytest.fixture(name="calls_for_more")
def _calls_for_more() -> list[str]:
    return []


@pytest.fixture(name="rounds")
def _rounds(calls: Calls, calls_for_more: list[str]) -> Rounds:
    """Rounds that note what they decide, and when they call for more events."""
    return Rounds(calls, lambda: calls_for_more.append("now"))


async def decided(rounds: Rounds, names: str, events: int = 1) -> None:
    await asyncio.gather(*(rounds.decide(i, work(name, events), IN_FORCE) for i, name in enumerate(names)))


async def test_who_is_woken_together_is_decided_together(rounds: Rounds, calls: Calls) -> None:
    found: list[Any] = await asyncio.gather(*(rounds.decide(i, work(name), IN_FORCE) for i, name in enumerate("abc")))
    assert found == ["a", "b", "c"]
    assert calls.rounds == [["a", "b", "c"]]


async def test_a_partition_alone_is_decided_at_once(rounds: Rounds, calls: Calls) -> None:
    for name in "ab":
        assert await rounds.decide(0, work(name), IN_FORCE) == name  # type: ignore[comparison-overlap] # a stand-in
    assert calls.rounds == [["a"], ["b"]]


async def until_1_comes_too(rounds: Rounds, calls: Calls) -> None:
    """Partition 0 asks, nothing is decided however often the loop turns, then 1 asks and both are decided together."""
    first = asyncio.ensure_future(rounds.decide(0, work("a"), IN_FORCE))
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.rounds == []
    await asyncio.gather(first, rounds.decide(1, work("b"), IN_FORCE))
    assert calls.rounds == [["a", "b"]]


async def test_a_round_waits_for_a_partition_that_is_on_its_way(rounds: Rounds, calls: Calls) -> None:
    rounds.comes(1)
    await until_1_comes_too(rounds, calls)


async def test_who_rested_and_was_given_something_is_waited_for(rounds: Rounds, calls: Calls) -> None:
    rounds.rests(1)
    rounds.given(1)
    await until_1_comes_too(rounds, calls)


async def test_who_waits_or_is_busy_is_not_waited_for_because_more_came_for_him(rounds: Rounds, calls: Calls) -> None:
    rounds.rests(0)
    rounds.comes(0)
    await rounds.decide(0, work("full"), IN_FORCE, alone=True)
    rounds.rests(1)
    rounds.comes(1)
    waiting = asyncio.ensure_future(rounds.decide(1, work("a"), IN_FORCE))
    await asyncio.sleep(0)
    rounds.given(0)
    rounds.given(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.rounds == [["full"], ["a"]]
    await waiting


async def test_who_was_decided_is_expected_back_until_it_rests(rounds: Rounds, calls: Calls) -> None:
    await decided(rounds, "ab")
    again = asyncio.ensure_future(rounds.decide(0, work("c"), IN_FORCE))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(calls.rounds) == 1
    rounds.rests(1)
    await again
    assert calls.rounds == [["a", "b"], ["c"]]


async def test_nobody_waits_for_long_and_not_twice_for_the_same(rounds: Rounds, calls: Calls) -> None:
    rounds.comes(1)
    async with asyncio.timeout(10):
        await rounds.decide(0, work("a"), IN_FORCE)  # 1 does not come
        await rounds.decide(0, work("b"), IN_FORCE)
    assert calls.rounds == [["a"], ["b"]]


async def test_a_large_batch_without_a_backlog_waits_for_others_and_is_a_part_of_its_own(
    rounds: Rounds, calls: Calls
) -> None:
    rounds.comes(1)
    large = asyncio.ensure_future(rounds.decide(0, work("large", ENOUGH), IN_FORCE))
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.rounds == []
    await asyncio.gather(large, rounds.decide(1, work("b"), IN_FORCE))
    assert calls.rounds == [["large"], ["b"]]


async def test_who_has_a_backlog_neither_waits_nor_is_waited_for(rounds: Rounds, calls: Calls) -> None:
    rounds.comes(1)
    await rounds.decide(0, work("full"), IN_FORCE, alone=True)
    await rounds.decide(1, work("b"), IN_FORCE)
    assert calls.rounds == [["full"], ["b"]]


async def test_a_round_takes_no_more_than_enough(rounds: Rounds, calls: Calls) -> None:
    half = ENOUGH // 2 + 1
    await decided(rounds, "abc", half)
    assert calls.rounds == [["a", "b"], ["c"]]


async def test_what_is_in_force_for_one_decides_nothing_of_another(rounds: Rounds, calls: Calls) -> None:
    other: Any = Forces()
    await asyncio.gather(
        rounds.decide(0, work("a"), IN_FORCE), rounds.decide(1, work("b"), other), rounds.decide(2, work("c"), IN_FORCE)
    )
    assert calls.rounds == [["a", "c"], ["b"]]


async def test_an_error_reaches_everybody_who_was_decided_with_it(rounds: Rounds) -> None:
    found = await asyncio.gather(
        rounds.decide(0, work("a"), IN_FORCE), rounds.decide(1, work("bad"), IN_FORCE), return_exceptions=True
    )
    assert [type(one) for one in found] == [ZeroDivisionError, ZeroDivisionError]


async def test_who_was_cancelled_is_not_decided(rounds: Rounds, calls: Calls) -> None:
    rounds.comes(1)
    gone = asyncio.ensure_future(rounds.decide(0, work("gone"), IN_FORCE))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await rounds.decide(1, work("b"), IN_FORCE)
    assert calls.rounds == [["b"]]


async def test_a_round_of_which_nobody_is_left_forgets_nobody_who_is_on_his_way(
    rounds: Rounds, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.comes(1)
    with monkeypatch.context() as patience:
        patience.setattr("agents.rounds.PATIENCE", 0.0)
        gone = asyncio.ensure_future(rounds.decide(2, work("gone"), IN_FORCE))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await asyncio.sleep(0)
    assert calls.rounds == []
    await until_1_comes_too(rounds, calls)


async def test_events_are_wanted_once_everybody_has_sent_off_what_was_decided(
    rounds: Rounds, calls_for_more: list[str]
) -> None:
    assert rounds.until_wanted() == 0.0
    await decided(rounds, "ab")
    assert rounds.until_wanted() > 0.0
    rounds.sent(1)
    rounds.sent(1)
    assert rounds.until_wanted() > 0.0
    assert calls_for_more == []
    rounds.sent(0)
    assert rounds.until_wanted() == 0.0
    assert calls_for_more == ["now"]


async def test_what_came_is_enough_until_it_has_been_decided(rounds: Rounds, calls_for_more: list[str]) -> None:
    await decided(rounds, "a")
    rounds.sent(0)
    rounds.brought(more=False)
    assert rounds.until_wanted() > 0.0
    await decided(rounds, "b")
    assert rounds.until_wanted() > 0.0
    rounds.sent(0)
    assert rounds.until_wanted() == 0.0
    assert calls_for_more == ["now", "now"]


async def test_a_round_in_parts_is_sent_off_once_all_parts_are(rounds: Rounds, calls: Calls) -> None:
    half = ENOUGH // 2 + 1
    await decided(rounds, "abc", half)
    assert calls.rounds == [["a", "b"], ["c"]]
    rounds.sent(2)
    assert rounds.until_wanted() > 0.0
    rounds.sent(0)
    rounds.sent(1)
    assert rounds.until_wanted() == 0.0


async def test_who_was_decided_in_the_first_part_of_a_round_is_waited_for(rounds: Rounds, calls: Calls) -> None:
    half = ENOUGH // 2 + 1
    await decided(rounds, "abc", half)
    again = asyncio.ensure_future(rounds.decide(2, work("d"), IN_FORCE))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(calls.rounds) == 2
    await asyncio.gather(again, decided(rounds, "ef"))
    assert sorted(calls.rounds[2]) == ["d", "e", "f"]


async def test_events_are_wanted_when_nobody_has_any_left(rounds: Rounds, calls_for_more: list[str]) -> None:
    rounds.brought(more=False)
    assert rounds.until_wanted() > 0.0
    rounds.rests(0)
    assert rounds.until_wanted() == 0.0
    assert calls_for_more == ["now"]


async def test_who_is_gone_before_it_has_sent_anything_is_not_waited_for_with_asking(rounds: Rounds) -> None:
    await decided(rounds, "ab")
    rounds.sent(0)
    rounds.rests(1)
    assert rounds.until_wanted() == 0.0


async def test_a_full_batch_wants_more_at_once(rounds: Rounds, calls_for_more: list[str]) -> None:
    rounds.brought(more=False)
    await rounds.decide(0, work("full"), IN_FORCE, alone=True)
    assert rounds.until_wanted() == 0.0
    assert calls_for_more == ["now"]


async def test_events_are_wanted_all_the_time_while_the_logs_have_more_than_came(rounds: Rounds) -> None:
    rounds.brought(more=True)
    await decided(rounds, "a")
    assert rounds.until_wanted() == 0.0
    rounds.brought(more=False)
    assert rounds.until_wanted() > 0.0


async def test_events_are_wanted_after_a_while_whatever_hangs(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, calls_for_more: list[str]
) -> None:
    await decided(rounds, "ab")
    loop = asyncio.get_running_loop()
    later = loop.time() + LONGEST
    monkeypatch.setattr(loop, "time", lambda: later)
    assert rounds.until_wanted() == 0.0
    assert calls_for_more == []  # who was told how long to wait asks by himself
