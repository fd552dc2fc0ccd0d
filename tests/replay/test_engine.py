import json
from collections import Counter

import numpy as np
import pytest

from features.record import DAY
from messages.verdict import Refused
from replay.engine import Book, replay
from replay.report import lines as summary_lines
from tests.replay.book import Collected, batches, book_lines, engine

LINES = book_lines()


@pytest.fixture(scope="module")
def whole() -> Collected:
    sink = Collected()
    replay(engine(sink), batches(LINES, 8_000))
    return sink


@pytest.mark.parametrize("size", [1, 7, 8_000])
def test_where_batches_are_cut_does_not_show(whole: Collected, size: int) -> None:
    sink = Collected()
    running = engine(sink)
    replay(running, batches(LINES, size))
    assert running.in_force.model.version.startswith("replay-"), "no learned model came into force: nothing was tested"
    assert sink.everything() == whole.everything()


def test_every_row_is_accounted_for(whole: Collected) -> None:
    sink = Collected()
    tally = replay(engine(sink), batches(LINES, 50))
    assert tally.accounted
    assert tally.records == len(LINES)
    assert (tally.duplicates, tally.broadcasts, tally.users) == (1, 2, 12)
    assert tally.applied == len(whole.rows.getvalue().splitlines()) == len(LINES) - 1 - 2 - 4
    text = "\n".join(summary_lines(tally, 2.0))
    assert f"applied {tally.applied:,}" in text
    assert f"({tally.records / 2:,.0f} events/s)" in text


def test_bad_rows_become_dead_letters_with_their_row_and_reason(whole: Collected) -> None:
    middle = len(book_lines()) // 2
    assert Counter(refusal.error for refusal in whole.refusals) == {Refused.CONTRACT: 3, Refused.NOT_JSON: 1}
    by_message = {refusal.message: refusal.offset for refusal in whole.refusals}
    assert [LINES[offset] for message, offset in by_message.items() if "no such event" in message] == [
        b'{"type":"unheard_of"}'
    ]
    assert any(message.startswith("document: line ") for message in by_message), by_message
    assert any("amount: Field required" in message for message in by_message), by_message
    assert all(abs(offset - middle) < 60 for offset in by_message.values())


def test_a_market_indicator_counts_from_its_row_on() -> None:
    running = engine(Collected())
    replay(running, batches(LINES, 8_000))
    assert running.in_force.market.index_of("taiwan") == pytest.approx(9.0 / 4.0)


def test_decisions_name_the_row_of_the_event_that_caused_them(whole: Collected) -> None:
    caused = [json.loads(message.value)["cause"] for message in whole.messages]
    by_event = [cause for cause in caused if cause["timer"] is None]
    assert len(by_event) > 50
    for cause in by_event:
        assert json.loads(LINES[cause["offset"]])["event_id"] == cause["event_id"]


def test_ids_of_decisions_are_unique(whole: Collected) -> None:
    ids = Counter(json.loads(message.value)["id"] for message in whole.messages)
    assert ids.most_common(1)[0][1] == 1


def test_timers_after_the_last_event_fire_when_asked_for() -> None:
    until_last, later = Collected(), Collected()
    first = engine(until_last, learning=False)
    replay(first, batches(LINES, 8_000))
    replay(engine(later, learning=False), batches(LINES, 8_000), as_of=first.watermark + 90 * DAY)
    more = later.messages[len(until_last.messages) :]
    assert later.messages[: len(until_last.messages)] == until_last.messages
    assert more
    assert all(json.loads(message.value)["cause"]["timer"] > first.watermark * 1000 for message in more)


def test_a_book_grows_and_keeps_what_it_knows() -> None:
    book = Book()
    book.open(["a", "b"])
    book.records["limit"][1] = 77
    book.records["next_timer"][1] = 500
    book.settle(np.array([1], np.uint32), [])
    book.open([f"user-{number}" for number in range(5_000)])
    assert book.records["limit"][1] == 77
    assert book.due(499).tolist() == []
    assert book.due(500).tolist() == [1]
    assert len(set(book.records["user"][: len(book.users)].tolist())) == 5_002


def test_a_retired_user_starts_anew() -> None:
    book = Book()
    book.open(["a"])
    fresh = book.records[:1].tobytes()
    book.records["limit"][0] = 9
    book.records["next_timer"][0] = 500
    book.settle(np.array([0], np.uint32), [0])
    assert book.due(1_000).tolist() == []
    assert book.records[:1].tobytes() == fresh
