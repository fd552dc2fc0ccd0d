"""Fetch answers laid out by the kernel, against the client library's own decoding."""

import contextlib
from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchResponse_v11
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.answers import laid_out
from tests.messages.test_unpacking import batch

LONG = st.integers(-(1 << 63), (1 << 63) - 1)
RECORDS = st.sampled_from(
    [
        b"",
        batch(7, [(5, b"k", b"value", [])]),
        batch(7, [(5, b"k", b"value", [("h", b"x")])]) + batch(8, [(6, None, None, []), (7, b"", b"", [])]),
        batch(7, [(5, b"k", b"value", [])])[:-3],
    ]
)
PARTS = st.tuples(
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.integers(-1, 100),
    LONG,
    LONG,
    LONG,
    st.none() | st.lists(st.tuples(LONG, LONG), max_size=2),
    st.integers(-1, 9),
    RECORDS | st.binary(max_size=80),
)
TOPICS = st.lists(st.tuples(st.sampled_from(["", "bills", "repayments", "überweisung"]), st.lists(PARTS, max_size=4)))
#: What the connection has read of an answer before its body.
HEADER = b"\0\0\0\7"


def by_library(answer: bytes) -> list[tuple[Any, ...]]:
    """What aiokafka makes of an answer, as `by_kernel` tells it. Raises ValueError where it cannot be read."""
    decoded: Any = FetchResponse_v11.decode(BytesIO(answer[len(HEADER) :]))
    return [
        (topic.encode(), partition, error, end, stable, records)
        for topic, partitions in decoded.topics
        for partition, error, end, stable, _, _, _, records in partitions
    ]


def by_kernel(answer: bytes, most: int = 20) -> list[tuple[Any, ...]] | None:
    """What the kernel makes of it; None where it is in doubt."""
    found = laid_out(answer, len(HEADER), most)
    if found is None:
        return None
    text, parts = found
    return [
        (text[name:name_end], partition, error, end, stable, text[start:stop])
        for name, name_end, partition, error, end, stable, start, stop, _ in parts
    ]


def encoded(topics: Any, error: int = 0) -> bytes:
    """An answer as a broker sends it."""
    return HEADER + bytes(FetchResponse_v11(0, error, 0, topics).encode())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TOPICS)
def test_the_kernel_finds_what_the_library_finds(topics: Any) -> None:
    count = sum(len(partitions) for _, partitions in topics)
    assert by_kernel(encoded(topics), count) == by_library(encoded(topics))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(TOPICS)
def test_an_answer_that_is_cut_off_anywhere_is_left_to_the_library(topics: Any) -> None:
    answer = encoded(topics)
    assert [by_kernel(answer[:size]) for size in range(len(HEADER), len(answer))] == [None] * (len(answer) - 4)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(TOPICS, st.data())
def test_an_answer_with_a_changed_byte_is_read_as_the_library_reads_it_or_left_to_it(topics: Any, data: Any) -> None:
    changed = bytearray(encoded(topics))
    changed[data.draw(st.integers(len(HEADER), len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    found = by_kernel(bytes(changed))
    with contextlib.suppress(UnicodeDecodeError):  # of a topic's name, which nobody has asked for then
        assert found is None or found == by_library(bytes(changed))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_noise_is_read_as_the_library_reads_it_or_left_to_it(noise: bytes) -> None:
    found = by_kernel(HEADER + noise)
    with contextlib.suppress(UnicodeDecodeError):
        assert found is None or found == by_library(HEADER + noise)


PART = (0, 0, 9, 9, 0, None, -1, b"")


@pytest.mark.parametrize(
    "answer",
    [
        encoded([("bills", [PART])], error=70),
        encoded([("bills", [(*PART[:7], None)])]),
        encoded([(None, [PART])]),
        encoded([("bills", None)]),
        encoded(None),
    ],
    ids=["an error of the whole", "records missing", "no name", "no partitions", "no topics"],
)
def test_what_is_odd_is_left_to_the_library(answer: bytes) -> None:
    assert by_kernel(answer) is None


def test_more_partitions_than_were_asked_for_are_left_to_the_library() -> None:
    answer = encoded([("bills", [PART, PART]), ("logins", [PART])])
    assert by_kernel(answer, 2) is None
    assert by_kernel(answer, 3) == by_library(answer)


def test_what_is_compressed_is_told_apart() -> None:
    plain, compressed = batch(0, [(5, b"a", b"1" * 99, [])]), batch(0, [(5, b"a", b"1" * 99, [])], compression=1)
    found = laid_out(encoded([("bills", [(*PART[:7], plain), (*PART[:7], compressed)])]), len(HEADER), 2)
    assert found is not None
    assert [part[-1] for part in found[1]] == [1, -1]
