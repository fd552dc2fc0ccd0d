import numpy as np
import pytest

from messages.columns import EVENT, Events, Source
from messages.inputs import USER_TOPICS
from messages.journal import JOURNAL, JournalEntry, TopicRange, entry_message, journal_entry, journal_message


def events(sources: tuple[Source, ...], source: list[int]) -> Events:
    count = len(source)
    words = [""] * count
    return Events(
        np.zeros(count, EVENT), words, words, words, sources, np.array(source, np.uint16), np.arange(count),
        np.zeros(count, np.int64),
    )  # fmt: skip


def test_an_entry_tells_the_order_in_which_the_topics_interleaved() -> None:
    batch = events((Source("bills", 3, "e2"), Source("purchases", 3, "e1")), [1, 1, 0, 1])
    ranges = {"purchases": ("e1", 10, 14), "repayments": ("e3", 0, 0), "bills": ("e2", 5, 6)}
    message = journal_message(3, 17, 99, 60, ("p@1", "m@1", "s@1"), ranges, batch)
    assert (message.topic, message.key) == (JOURNAL, b"3")
    assert journal_entry(message.value) == JournalEntry(
        partition=3, number=17, clock=99, watermark=60, policy="p@1", market="m@1", model="s@1",
        topics=(
            TopicRange(topic="purchases", epoch="e1", begin=10, end=14),
            TopicRange(topic="repayments", epoch="e3", begin=0, end=0),
            TopicRange(topic="bills", epoch="e2", begin=5, end=6),
        ),
        order="0020",
    )  # fmt: skip


def test_an_entry_without_events_has_an_empty_order() -> None:
    message = journal_message(0, 1, 0, 0, ("", "", ""), {"bills": ("", 0, 2)}, Events.empty())
    assert journal_entry(message.value).order == ""


def test_the_same_batch_gives_the_same_bytes() -> None:
    batch = events((Source("bills", 3),), [0])
    first, again = (journal_message(3, 1, 0, 0, ("", "", ""), {"bills": ("", 0, 1)}, batch) for _ in range(2))
    assert first == again


def test_an_entry_that_was_read_has_the_bytes_that_it_had() -> None:
    batch = events((Source("bills", 3, "e2"), Source("purchases", 3, "e1")), [1, 1, 0, 1])
    message = journal_message(
        3, 17, 99, 60, ("p@1", "m@1", "s@1"), {"purchases": ("e1", 1, 4), "bills": ("", 5, 6)}, batch
    )
    assert entry_message(journal_entry(message.value)) == message


def test_all_user_keyed_topics_have_a_digit() -> None:
    assert len(USER_TOPICS) <= 10
    with pytest.raises(ValueError, match="11 topics are too many"):
        journal_message(0, 1, 0, 0, ("", "", ""), {str(n): ("", 0, 0) for n in range(11)}, Events.empty())


@pytest.mark.parametrize("value", [b"", b"{}", b'{"type":"batch","partition":-1}', b"\xff"])
def test_what_is_no_entry_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="JournalEntry"):
        journal_entry(value)
