import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chain import Chain, Fetch


def test_a_fetch_that_begins_at_the_next_offset_joins() -> None:
    chain = Chain(ticket=1, next=5, end=10)
    assert chain.judge(5, 7) is Fetch.JOINS
    assert chain.hand_over(7) == (5, 8)


def test_a_fetch_that_overlaps_what_was_handed_over_joins_and_an_older_one_is_stale() -> None:
    chain = Chain(ticket=1, next=5, end=10)
    assert chain.judge(3, 5) is Fetch.JOINS
    assert chain.judge(3, 4) is Fetch.STALE


def test_a_hole_is_believed_at_the_second_look_only() -> None:
    chain = Chain(ticket=1, next=5, end=10)
    assert [chain.judge(8, 9), chain.judge(8, 9)] == [Fetch.GAP, Fetch.HOLE]
    assert chain.hand_over(9) == (5, 10)


def test_a_second_look_that_finds_the_records_takes_the_hole_back() -> None:
    chain = Chain(ticket=1, next=5, end=20)
    assert chain.judge(8, 9) is Fetch.GAP
    assert chain.judge(5, 9) is Fetch.JOINS
    chain.hand_over(9)
    assert chain.judge(12, 13) is Fetch.GAP


def test_a_hole_that_could_not_be_explained_is_looked_at_again() -> None:
    chain = Chain(ticket=1, next=5, end=20)
    chain.judge(8, 9)
    chain.look_again()
    assert chain.judge(8, 9) is Fetch.GAP


def test_markers_at_the_end_of_the_log_are_not_unread() -> None:
    chain = Chain(ticket=1, next=5, end=7)
    assert chain.unread(chain.next) == 2
    chain.reached = 7
    assert chain.unread(chain.next) == 0


def test_records_on_their_way_to_the_owner_are_unread() -> None:
    chain = Chain(ticket=1, next=5, end=10, reached=5)
    chain.hand_over(9)
    chain.reached = 10
    assert [chain.unread(5), chain.unread(10)] == [5, 0]


def test_before_the_first_fetch_a_log_counts_as_unread() -> None:
    assert Chain(ticket=1, next=5).unread(5) == 1


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), holes=st.sets(st.integers(0, 59), max_size=30))
def test_whatever_a_consumer_fetches_every_record_is_handed_over_once_and_in_order(seed: int, holes: set[int]) -> None:
    """The consumer has a position of its own, which others move, and fetches that were drained before a seek."""
    rng = random.Random(seed)
    log = [offset for offset in range(60) if offset not in holes]
    chain, position, delivered = Chain(ticket=1, next=0, end=60), 0, list[int]()
    for _ in range(2_000):
        if rng.random() < 0.2:
            position = rng.randrange(61)  # a reset or a fetch in flight across a rebalance
        fetched = [offset for offset in log if offset >= position][: rng.randrange(1, 8)]
        if not fetched:
            position = chain.next if rng.random() < 0.5 else position
            continue
        sought = position == chain.next
        position = fetched[-1] + 1
        fetch = chain.judge(fetched[0], fetched[-1])
        if fetch is Fetch.GAP:
            position = chain.next
            # The consumer's own guarantee: what is fetched after a seek was fetched from there.
            fetched = [offset for offset in log if offset >= position][: rng.randrange(1, 8)]
            position = fetched[-1] + 1
            fetch, sought = chain.judge(fetched[0], fetched[-1]), True
        if fetch is Fetch.HOLE and not sought:
            pytest.fail("a hole was believed without a seek")
        if fetch is not Fetch.STALE:
            start, _ = chain.hand_over(fetched[-1])
            delivered += [offset for offset in fetched if offset >= start]
    assert delivered == log
