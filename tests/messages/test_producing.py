"""Requests and answers as bytes, against the client library's own encoding and decoding."""

import struct
from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol import produce
from aiokafka.protocol.api import RequestHeader_v1
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.producing import VERSIONS, read_answer, request_body, request_head, request_number

TOPICS = st.text(max_size=12)
PARTITIONS = st.integers(0, 2**31 - 1)
BATCHES = st.dictionaries(TOPICS, st.lists(st.tuples(PARTITIONS, st.binary(max_size=50)), max_size=4), max_size=4)
LONG = st.integers(-(2**63), 2**63 - 1)
SAID = st.tuples(st.integers(-(2**15), 2**15 - 1), LONG, LONG, LONG)
ANSWERS = st.dictionaries(TOPICS, st.dictionaries(PARTITIONS, SAID, max_size=4), max_size=4)


def library(kind: str, version: int) -> Any:
    return getattr(produce, f"Produce{kind}_v{version}")


def answered(version: int, said: dict[str, dict[int, tuple[int, int, int, int]]], throttle_ms: int = 0) -> bytes:
    """An answer as a broker sends it."""
    fields = 3 if version < 5 else 4
    topics = [(topic, [(number, *one[:fields]) for number, one in of.items()]) for topic, of in said.items()]
    encoded: bytes = library("Response", version)(topics, throttle_ms).encode()
    return struct.pack(">i", 77) + encoded


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(VERSIONS), st.integers(0, 2**31 - 1), st.text(max_size=20), BATCHES, st.integers(0, 2**31 - 1))
def test_a_request_has_the_bytes_that_the_library_gives_it(
    version: int, number: int, client: str, batches: dict[str, list[tuple[int, bytes]]], timeout_ms: int
) -> None:
    request = library("Request", version)(None, -1, timeout_ms, list(batches.items()))
    assert request_body(batches, timeout_ms) == request.encode()
    assert request_head(version, number, client) == RequestHeader_v1(request, number, client).encode()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(VERSIONS), ANSWERS, st.integers(0, 2**31 - 1))
def test_an_answer_says_what_the_library_reads_in_it(version: int, said: Any, throttle_ms: int) -> None:
    answer = answered(version, said, throttle_ms)
    read: Any = library("Response", version).decode(BytesIO(answer[4:]))
    expected = {(topic, number): (code, at) for topic, of in read.topics for number, code, at, *_ in of}
    assert read_answer(answer, version) == expected
    assert request_number(answer) == 77


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(VERSIONS), ANSWERS, st.data())
def test_an_answer_that_is_cut_off_or_goes_on_is_an_error(version: int, said: Any, data: Any) -> None:
    answer = answered(version, said)
    cut = data.draw(st.integers(4, len(answer) - 1))
    with pytest.raises(ValueError, match="answer"):
        read_answer(answer[:cut], version)
    with pytest.raises(ValueError, match="answer"):
        read_answer(answer + b"\0", version)


def test_an_answer_of_another_version_is_not_taken_for_one_of_this() -> None:
    answer = answered(7, {"warnings": {3: (0, 5, -1, 0)}})
    with pytest.raises(ValueError, match="answer"):
        read_answer(answer, 3)


@pytest.mark.parametrize("answer", [b"", b"\0\0\0"])
def test_an_answer_without_a_number_is_an_error(answer: bytes) -> None:
    with pytest.raises(ValueError, match="number"):
        request_number(answer)
