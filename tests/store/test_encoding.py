from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.message import Message
from store.contract import CorruptState, Header, LimitView, TopicPosition
from store.encoding import (
    FORM,
    decode_header,
    decode_limit,
    decode_message,
    decode_position,
    encode_header,
    encode_limit,
    encode_message,
    encode_position,
)

large = st.integers(0, 2**63 - 1)
names = st.text(max_size=40)
headers = st.builds(Header, large, large, names, names, names, large)
messages = st.builds(
    Message, names, st.none() | st.binary(), st.binary(), st.lists(st.tuples(names, st.binary())).map(tuple)
)
limits = st.builds(LimitView, names, large, st.booleans(), names, st.floats(0, 1), large)


@given(headers)
def test_a_header_is_read_as_it_was_written(header: Header) -> None:
    assert decode_header(encode_header(header), "here") == header


@given(messages)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode_message(encode_message(message), "here") == message


@given(st.builds(TopicPosition, large, names))
def test_a_position_is_read_as_it_was_written(position: TopicPosition) -> None:
    assert decode_position(encode_position(position), "here") == position


@given(limits)
def test_a_limit_is_read_as_it_was_written(view: LimitView) -> None:
    assert decode_limit(view.user, encode_limit(view), "here") == view


@given(st.binary(max_size=60))
def test_other_bytes_are_read_or_called_corrupt_and_nothing_else(stored: bytes) -> None:
    for decode in (decode_header, decode_message, decode_position):
        with suppress(CorruptState):
            decode(stored, "here")


@given(headers, st.data())
def test_a_header_cut_short_is_called_corrupt(header: Header, data: st.DataObject) -> None:
    stored = encode_header(header)
    end = data.draw(st.integers(0, len(stored) - 1))
    with pytest.raises(CorruptState):
        decode_header(stored[:end], "here")


@pytest.mark.parametrize("stored", [b"9" * 5_000, b"9" * 20, b"-1", b"1.0", b""])
def test_a_position_that_is_no_offset_is_called_corrupt(stored: bytes) -> None:
    with pytest.raises(CorruptState):
        decode_position(stored, "here")


def test_a_header_of_lists_within_lists_is_called_corrupt() -> None:
    with pytest.raises(CorruptState):
        decode_header(b"\x91" * 5_000, "here")


def test_a_header_of_a_newer_form_is_refused_with_the_reason() -> None:
    stored = msgspec.msgpack.encode([FORM + 1, {"everything": "else"}])
    with pytest.raises(CorruptState, match="newer version"):
        decode_header(stored, "here")


def test_a_field_that_a_newer_version_added_to_the_header_is_passed_over() -> None:
    fields = msgspec.msgpack.decode(encode_header(Header(1, 2, "p", "m", "s", 3)))
    assert decode_header(msgspec.msgpack.encode([*fields, "added"]), "here") == Header(1, 2, "p", "m", "s", 3)
