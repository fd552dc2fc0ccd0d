from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.alignment import Batch, Lane, cut_batch
from messages.columns import EVENT, Events, Excerpt, Source
from messages.verdict import Refusal

TOPICS = ("purchases", "repayments", "bills")


def events(topic: str, times: Sequence[int], offsets: Sequence[int]) -> Events:
    columns = np.zeros(len(times), EVENT)
    columns["time"] = times
    names = [f"{topic}/{offset}" for offset in offsets]
    places = np.zeros(len(times), np.uint16), np.array(offsets), np.array(offsets)
    return Events(columns, names, names, names, (Source(topic, 0),), *places)


def add(lane: Lane, topic: str, times: Sequence[int], acknowledged: list[str] | None = None) -> None:
    start = lane.end
    end = start + len(times)
    done = acknowledged if acknowledged is not None else []
    lane.add(Excerpt.of(events(topic, times, range(start, end))), [], end, lambda: done.append(f"{topic}/{end}"))


def cut(lanes: Mapping[str, Lane], unread: Mapping[str, int] | None = None, most: int = 100) -> Batch | None:
    return cut_batch(lanes, lambda topic: (unread or {}).get(topic, 0), most)[0]


def order(batch: Batch | None) -> list[str]:
    return list(batch.events.ids) if batch else []


@pytest.fixture
def lanes() -> dict[str, Lane]:
    return {topic: Lane(0) for topic in TOPICS}


def test_events_of_several_topics_are_decided_in_order_of_event_time(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [10, 30])
    add(lanes["repayments"], "repayments", [20, 40])
    assert order(cut(lanes)) == ["purchases/0", "repayments/0", "purchases/1", "repayments/1"]


def test_a_topic_with_unread_records_and_nothing_waiting_holds_the_others_back(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [10])
    batch, holding = cut_batch(lanes, lambda topic: int(topic == "repayments"), 100)
    assert (batch, holding) == (None, ["repayments"])


def test_a_topic_that_is_caught_up_holds_nobody_back(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [10, 99])
    assert order(cut(lanes)) == ["purchases/0", "purchases/1"]


def test_a_topic_that_is_behind_vouches_only_up_to_its_newest_event(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [10, 20, 30])
    add(lanes["repayments"], "repayments", [5, 20])
    batch = cut(lanes, {"repayments": 7})
    assert order(batch) == ["repayments/0", "purchases/0", "purchases/1", "repayments/1"]
    assert batch is not None
    assert batch.positions == {"purchases": 2, "repayments": 2}
    assert order(cut(lanes, {"repayments": 7})) == []
    assert order(cut(lanes)) == ["purchases/2"]


def test_a_look_at_a_topic_vouches_only_for_what_was_fetched_before_it(lanes: dict[str, Lane]) -> None:
    # One response holds both, but history was published between the broker's looks at the two partitions.
    purchases, done = lanes["purchases"], list[str]()
    purchases.add(Excerpt.of(events("purchases", [10], [0])), [], 1, lambda: done.append("first"), fetched_ms=7)
    purchases.add(Excerpt.of(events("purchases", [20], [1])), [], 2, lambda: done.append("second"), fetched_ms=8)
    batch, holding = cut_batch(lanes, lambda _: 0, 100, lambda topic: 8 if topic == "repayments" else 9)
    assert order(batch) == ["purchases/0"]
    batch, holding = cut_batch(lanes, lambda _: 0, 100, lambda topic: 8 if topic == "repayments" else 9)
    assert (order(batch), holding) == ([], ["repayments"])
    assert order(cut_batch(lanes, lambda _: 0, 100, lambda _: 9)[0]) == ["purchases/1"]


def test_what_a_topic_vouched_for_before_its_lane_ran_empty_does_not_release_the_others(lanes: dict[str, Lane]) -> None:
    add(lanes["repayments"], "repayments", [50])
    cut(lanes, {"repayments": 1})
    add(lanes["purchases"], "purchases", [10])
    assert order(cut(lanes, {"repayments": 1})) == []


def test_events_of_one_topic_keep_the_order_of_their_offsets(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [30, 10])
    add(lanes["repayments"], "repayments", [20])
    assert order(cut(lanes)) == ["repayments/0", "purchases/0", "purchases/1"]


def test_a_batch_is_never_larger_than_asked(lanes: dict[str, Lane]) -> None:
    add(lanes["purchases"], "purchases", [1, 3, 5])
    add(lanes["repayments"], "repayments", [2, 4])
    batch = cut(lanes, most=3)
    assert order(batch) == ["purchases/0", "repayments/0", "purchases/1"]
    assert batch is not None
    assert batch.positions == {"purchases": 2, "repayments": 1}


def test_an_event_that_nobody_vouches_for_is_not_overtaken_by_a_later_one_that_was_fetched_before() -> None:
    lanes = {topic: Lane(0) for topic in TOPICS}
    lanes["purchases"].add(Excerpt.of(events("purchases", [10], [0])), [], 1, lambda: None, fetched_ms=1)
    lanes["repayments"].add(Excerpt.of(events("repayments", [5, 20], [0, 1])), [], 2, lambda: None, fetched_ms=2)
    batch, holding = cut_batch(lanes, lambda _topic: 0, 10, lambda _topic: 2)
    assert batch is None
    assert "bills" in holding
    batch, _ = cut_batch(lanes, lambda _topic: 0, 10, lambda _topic: 3)
    assert batch is not None
    assert order(batch) == ["repayments/0", "purchases/0", "repayments/1"]


def test_a_hand_over_is_acknowledged_when_its_last_record_is_decided(lanes: dict[str, Lane]) -> None:
    acknowledged: list[str] = []
    add(lanes["purchases"], "purchases", [1, 2], acknowledged)
    first, second = cut(lanes, most=1), cut(lanes, most=1)
    assert first is not None
    assert second is not None
    first.acknowledge()
    assert acknowledged == []
    second.acknowledge()
    assert acknowledged == ["purchases/2"]


def test_refused_records_move_the_position_even_alone() -> None:
    lane = Lane(4)
    lane.add(Excerpt.of(Events.empty()), [Refusal(Source("bills", 0), 4, None, b"x", "not-json", "")], 5, lambda: None)
    batch = cut({"bills": lane})
    assert batch is not None
    assert (batch.positions, [refusal.offset for refusal in batch.refused]) == ({"bills": 5}, [4])
    assert cut({"bills": lane}) is None


def test_a_refused_record_between_events_goes_with_the_one_before_it() -> None:
    lane = Lane(0)
    refusal = Refusal(Source("bills", 0), 1, None, b"x", "not-json", "")
    lane.add(Excerpt.of(events("bills", [1, 2], [0, 2])), [refusal], 3, lambda: None)
    batch = cut({"bills": lane}, most=1)
    assert batch is not None
    assert (batch.positions, batch.refused) == ({"bills": 2}, [refusal])


def test_halves_together_do_what_the_whole_does(lanes: dict[str, Lane]) -> None:
    acknowledged: list[str] = []
    add(lanes["purchases"], "purchases", [1, 3, 5], acknowledged)
    add(lanes["repayments"], "repayments", [2, 4], acknowledged)
    batch = cut(lanes)
    assert batch is not None
    first, second = batch.halves()
    assert order(first) + order(second) == order(batch)
    assert first.positions == {"purchases": 1, "repayments": 1}
    assert second.positions == batch.positions
    first.acknowledge()
    assert acknowledged == []


@settings(max_examples=400, deadline=None)
@given(
    logs=st.tuples(*[st.lists(st.integers(0, 50), max_size=20) for _ in TOPICS]),
    hand_overs=st.lists(st.tuples(st.sampled_from(range(3)), st.integers(1, 6)), max_size=40),
    most=st.integers(1, 9),
)
def test_however_records_arrive_all_are_cut_once_in_order_and_no_batch_overtakes_what_is_unread(
    logs: tuple[list[int], ...], hand_overs: list[tuple[int, int]], most: int
) -> None:
    logs = tuple(sorted(log) for log in logs)
    lanes = {topic: Lane(0) for topic in TOPICS}
    seen: list[str] = []
    times: list[int] = []

    def unread(topic: str) -> int:
        return len(logs[TOPICS.index(topic)]) - lanes[topic].end

    everything = [(number, len(log)) for number, log in enumerate(logs)]
    for number, count in [*hand_overs, *everything]:
        topic, log = TOPICS[number], logs[number]
        start = lanes[topic].end
        if log[start : start + count]:
            add(lanes[topic], topic, log[start : start + count])
        while (batch := cut_batch(lanes, unread, most)[0]) is not None:
            assert len(batch.events) <= most
            seen += order(batch)
            times += batch.events.columns["time"].tolist()
    assert sorted(seen) == sorted(
        f"{topic}/{i}" for topic, log in zip(TOPICS, logs, strict=True) for i in range(len(log))
    )
    assert times == sorted(times)


@settings(max_examples=300, deadline=None)
@given(
    published=st.lists(st.sampled_from(TOPICS), max_size=40),
    responses=st.lists(
        st.tuples(st.permutations(TOPICS), st.lists(st.integers(0, 6), min_size=3, max_size=3)), max_size=20
    ),
    most=st.integers(1, 9),
)
def test_events_published_while_a_response_reads_one_topic_after_the_other_are_cut_in_the_order_of_their_time(
    published: list[str], responses: list[tuple[list[str], list[int]]], most: int
) -> None:
    """Event i is published at its time i; a broker reads each topic of a response up to what is published by then."""
    lanes = {topic: Lane(0) for topic in TOPICS}
    there, times = 0, list[int]()
    rest = [(list(TOPICS), [len(published), 0, 0]), (list(TOPICS), [0, 0, 0]), (list(TOPICS), [0, 0, 0])]
    for number, (topics, more) in enumerate([*responses, *rest], 1):
        for topic, count in zip(topics, more, strict=True):
            there = min(there + count, len(published))
            lane = lanes[topic]
            log = [time for time, name in enumerate(published[:there]) if name == topic]
            found = events(topic, log[lane.end :], range(lane.end, len(log)))
            if len(found):
                lane.add(Excerpt.of(found), [], len(log), lambda: None, fetched_ms=number)
        looks = dict.fromkeys(TOPICS, number)
        while (batch := cut_batch(lanes, lambda _topic: 0, most, looks.__getitem__)[0]) is not None:
            times += batch.events.columns["time"].tolist()
    assert times == list(range(len(published)))
