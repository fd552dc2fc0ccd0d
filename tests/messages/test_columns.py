import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.columns import EVENT, Events, Excerpt, Source, gathered, numbered


def events_of(topic: str, offsets: list[int]) -> Events:
    columns = np.zeros(len(offsets), EVENT)
    columns["time"] = offsets
    names = [f"{topic}-{offset}" for offset in offsets]
    places = np.zeros(len(offsets), np.uint16), np.array(offsets), np.array(offsets) * 1_000
    return Events(columns, names, names, names, (Source(topic, 0),), *places)


def places(events: Events) -> list[tuple[str, int]]:
    return [(events.sources[s].topic, o) for s, o in zip(events.source, events.offset.tolist(), strict=True)]


def test_taking_events_keeps_all_members_together() -> None:
    taken = events_of("bills", [5, 6, 7]).take(np.array([2, 0]))
    assert places(taken) == [("bills", 7), ("bills", 5)]
    assert taken.users == taken.ids == taken.references == ["bills-7", "bills-5"]
    assert taken.columns["time"].tolist() == [7, 5]
    assert taken.arrived.tolist() == [7_000, 5_000]


def test_taken_columns_are_a_copy() -> None:
    events = events_of("bills", [5])
    events.take(np.array([0])).columns["time"] = 9
    assert events.columns["time"].tolist() == [5]


def test_a_slice_is_a_view_with_all_members_together() -> None:
    events = events_of("bills", [5, 6, 7])
    cut = events.slice(1, 3)
    assert places(cut) == [("bills", 6), ("bills", 7)]
    assert cut.users == cut.ids == cut.references == ["bills-6", "bills-7"]
    assert np.shares_memory(cut.columns, events.columns)


def test_concatenated_events_still_know_their_sources() -> None:
    parts = [events_of("bills", [1, 2]), events_of("purchases", [7]), events_of("bills", [3]), Events.empty()]
    together = Events.concatenate(parts)
    assert together.sources == (Source("bills", 0), Source("purchases", 0))
    assert places(together) == [("bills", 1), ("bills", 2), ("purchases", 7), ("bills", 3)]
    assert together.users == ["bills-1", "bills-2", "purchases-7", "bills-3"]
    assert together.columns["time"].tolist() == [1, 2, 7, 3]
    assert together.columns.dtype == EVENT
    assert together.source.dtype == np.uint16


def test_concatenated_and_taken_in_order_of_time_events_are_aligned() -> None:
    together = Events.concatenate([events_of("bills", [1, 4]), events_of("purchases", [2, 3])])
    aligned = together.take(np.argsort(together.columns["time"], kind="stable"))
    assert places(aligned) == [("bills", 1), ("purchases", 2), ("purchases", 3), ("bills", 4)]


def test_nothing_concatenated_is_empty() -> None:
    assert len(Events.concatenate([])) == 0
    assert len(Events.concatenate([Events.empty(), Events.empty()])) == 0


def test_more_sources_than_a_column_can_number_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 65536 sources, not 65537"):
        numbered([Source("purchases", partition) for partition in range(65_537)])


def test_an_excerpt_of_all_is_the_table_itself_and_a_part_a_view_of_it() -> None:
    table = events_of("bills", [5, 6, 7])
    assert Excerpt.of(table).events is table
    part = Excerpt.of(table).slice(1, 3).slice(1, 2)
    assert (len(part), places(part.events)) == (1, [("bills", 7)])
    assert np.shares_memory(part.events.columns, table.columns)


def test_nothing_gathered_is_nothing() -> None:
    assert len(gathered([])) == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_gathered_events_are_those_of_all_excerpts_in_the_order_asked_for(data: st.DataObject) -> None:
    tables = [events_of(topic, list(range(10))) for topic in ("bills", "purchases", "repayments")]
    bounds = st.tuples(st.integers(0, 10), st.integers(0, 10)).map(sorted)
    excerpts = [
        Excerpt(data.draw(st.sampled_from(tables)), *data.draw(bounds)) for _ in range(data.draw(st.integers(1, 6)))
    ]
    naive = [place for excerpt in excerpts for place in places(excerpt.table)[excerpt.start : excerpt.stop]]
    assert places(gathered(excerpts)) == naive
    order = data.draw(st.permutations(range(len(naive))))
    chosen = order[: data.draw(st.integers(0, len(naive)))]
    found = gathered(excerpts, np.array(chosen, np.int64))
    assert places(found) == [naive[i] for i in chosen]
    assert list(found.users) == list(found.ids) == [f"{topic}-{offset}" for topic, offset in places(found)]
    assert found.columns["time"].tolist() == found.offset.tolist()
