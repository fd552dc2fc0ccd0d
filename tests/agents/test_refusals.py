import asyncio
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from agents.refusals import DeadLetterLimit, TooManyRefused
from messages.columns import Source
from messages.verdict import Refusal
from store.memory import MemoryStore
from tests.agents.bench import Bench, Owner

WINDOW = 100


def check(limit: DeadLetterLimit, bad: Sequence[bool], topic: str = "purchases", start: int = 0) -> None:
    offsets = range(start, start + len(bad))
    source = Source(topic, 0)
    reason = "amount: Input should be a valid integer (got 'user-7')"
    refused = [Refusal(source, at, b"user-7", b"{", "contract", reason) for at in offsets if bad[at - start]]
    limit.check(topic, np.array(offsets, np.int64), refused)


def limited(share: float = 0.5) -> DeadLetterLimit:
    return DeadLetterLimit(share, WINDOW)


def stopped_at(bad: Sequence[bool], cuts: Iterable[int]) -> int:
    """The hand-over that stops, by its first record; -1 where none does."""
    limit, start = limited(), 0
    for size in cuts:
        try:
            check(limit, bad[start : start + size], start=start)
        except TooManyRefused:
            return start
        start += size
    return -1


def test_a_single_bad_record_stops_nothing_even_as_the_first() -> None:
    check(limited(0.01), [True])


def test_half_of_a_window_may_be_refused_and_not_one_more() -> None:
    limit = limited()
    check(limit, [True, False] * 200)
    with pytest.raises(TooManyRefused):
        check(limit, [True, True])


def test_what_is_certain_is_not_waited_for() -> None:
    check(limited(), [True] * 50)
    with pytest.raises(TooManyRefused):
        check(limited(), [True] * 51)


def test_a_bad_stretch_within_a_large_hand_over_is_seen() -> None:
    with pytest.raises(TooManyRefused):
        check(limited(), [False] * 1_000 + [True] * 60 + [False] * 1_000)


def test_bad_records_that_lie_far_apart_stop_nothing() -> None:
    check(limited(), ([True] * 40 + [False] * 100) * 50)


def test_where_hand_overs_are_cut_makes_no_difference() -> None:
    bad = [False] * 333 + [True] * 51
    assert stopped_at(bad, [384]) == 0
    assert stopped_at(bad, [1] * 384) == 383
    assert stopped_at(bad[:-1], [383]) == stopped_at(bad[:-1], [7] * 55) == -1


def test_topics_are_judged_apart_and_partitions_together() -> None:
    limit = limited()
    check(limit, [True] * 30)
    check(limit, [True] * 30, "repayments")
    with pytest.raises(TooManyRefused, match="purchases"):
        check(limit, [True] * 21, start=9_000)


def test_a_share_of_one_lets_everything_through() -> None:
    check(limited(1), [True] * 1_000)


def test_the_message_says_what_why_and_what_to_do_and_names_nobody() -> None:
    with pytest.raises(TooManyRefused) as caught:
        check(limited(), [False] * 40 + [True] * 60)
    text = str(caught.value)
    for words in ("purchases: 60 of the last 100 records", "50% of 100", "contract: amount: Input should be a valid"):
        assert words in text
    assert "DUEWATCH_DEAD_LETTER_SHARE" in text
    assert "a restart stops again" in text
    assert "user-7" not in text


class Guarded(Owner):
    """An owner whose monitor hears of what a hand-over raises, as the real one does."""

    def feed(self) -> None:
        try:
            super().feed()
        except TooManyRefused as error:
            self._fail(error)


async def test_a_worker_stops_before_any_letter_of_the_hand_over_and_stops_there_again_until_it_is_let_through() -> (
    None
):
    bench = Bench(MemoryStore())
    for number in range(40):
        bench.send("purchases", f"u{number}", number, number)
    owner = bench.owner(refusals=limited())
    await owner.finished()
    await owner.stop()
    for _ in range(60):
        bench.send_bytes("purchases", b"{}")
    for _ in range(2):
        guarded = Guarded(bench, {"publisher": bench.published, "journal": bench, "refusals": limited()})
        await asyncio.wait_for(guarded.task, 10)
        assert isinstance(bench.failures.pop(), TooManyRefused)
        assert (await bench.store.partition(0).open()).position["purchases"].next_offset == 40
        assert bench.published.of("dead-letters") == []
    owner = bench.owner(refusals=limited(1))
    await owner.until(lambda: len(bench.published.of("dead-letters")) == 60)
    await owner.stop()
    assert bench.failures == []
