"""Record batches read by the kernel, against the client library's own reading."""

import contextlib
import struct
from typing import Any

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.records import Slices
from messages.unpacking import Span, unpacked, unpacked_each
from messages.words import PADDING

Fields = tuple[int, int, bytes | None, bytes | None]
HEADERS = st.lists(st.tuples(st.sampled_from(["", "a", "ce_id"]), st.none() | st.binary(max_size=300)), max_size=3)
RECORDS = st.tuples(
    st.integers(0, 2**41), st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=20_000), HEADERS
)
BATCHES = st.lists(st.tuples(st.lists(RECORDS, min_size=1, max_size=5), st.booleans()), min_size=0, max_size=4)


def batch(base: int, records: Any, *, transactional: bool = False, compression: int = 0) -> bytes:
    """One batch as a broker sends it, its records at `base` and the following offsets."""
    builder = DefaultRecordBatchBuilder(2, compression, int(transactional), -1, -1, -1, 1 << 24)
    for i, (time, key, value, headers) in enumerate(records):
        assert builder.append(i, timestamp=time, key=key, value=value, headers=headers) is not None
    whole = bytearray(builder.build())
    whole[:8] = struct.pack(">q", base)  # the broker sets it, and the checksum does not cover it
    return bytes(whole)


def by_library(answer: bytes, first: int) -> tuple[list[Fields], int]:
    """What aiokafka reads, as its consumer goes through it."""
    records, found, reached = MemoryRecords(answer), list[Fields](), first
    while records.has_next():
        one: Any = records.next_batch()
        assert one.validate_crc()
        if not one.is_control_batch:
            found += [(r.offset, r.timestamp, r.key, r.value) for r in one if r.offset >= first]
        reached = max(reached, one.next_offset)
    return found, reached


def by_kernel(answer: bytes, first: int) -> tuple[list[Fields], int]:
    """What the kernel reads; it must not be in doubt."""
    found = unpacked(answer, first)
    assert found is not None
    records, reached = found
    columns = records.offsets.tolist(), records.timestamps.tolist(), list(records.keys), list(records.values)
    return list(zip(*columns, strict=True)), reached


@settings(max_examples=200, deadline=None, derandomize=True)
@given(BATCHES, st.integers(0, 1 << 40), st.integers(0, 12), st.integers(0, 400))
def test_the_kernel_reads_what_the_library_reads(parts: Any, base: int, skipped: int, cut: int) -> None:
    answer, offset = b"", base
    for records, transactional in parts:
        answer += batch(offset, records, transactional=transactional)
        offset += len(records)
    answer = answer[: max(len(answer) - cut, 0)]  # a broker cuts an answer off wherever it is full
    assert by_kernel(answer, base + skipped) == by_library(answer, base + skipped)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(BATCHES, st.sampled_from(["whole", "cut off", "damaged", "not looked at"]), st.integers(0, 9)))
)
def test_partitions_that_are_read_together_are_read_as_each_alone(partitions: Any) -> None:
    text, spans, alone = b"before", list[Span](), list[Any]()
    for parts, state, first in partitions:
        answer = b"".join(batch(5, records) for records, _ in parts)
        if answer and state == "cut off":
            answer = answer[:-1]
        if answer and state == "damaged":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        count = -1 if state == "not looked at" else sum(len(records) for records, _ in parts)
        spans.append((len(text), len(text) + len(answer), count, first))
        alone.append(None if count < 0 else unpacked(answer, first))
        text += answer
    assert [seen(found) for found in unpacked_each(text + PADDING, spans)] == [seen(found) for found in alone]


def seen(found: Any) -> Any:
    """Everything that was found of a partition, to be compared."""
    if found is None:
        return None
    records, reached = found
    return list(records.keys), list(records.values), records.offsets.tolist(), records.timestamps.tolist(), reached


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(RECORDS, min_size=1, max_size=3), st.data())
def test_a_batch_with_a_changed_byte_is_never_taken_for_another(records: Any, data: Any) -> None:
    sound = batch(7, records)
    # The checksum covers everything from the attributes on; before it come offset, length, leader's epoch, layout.
    place = data.draw(st.integers(17, len(sound) - 1))
    changed = bytearray(sound)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert unpacked(bytes(changed), 7) is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.integers(0, 100))
def test_noise_is_left_to_the_library_or_holds_nothing(noise: bytes, first: int) -> None:
    found = unpacked(noise, first)
    assert found is None or (len(found[0]) == 0 and found[1] == first)


def test_lengths_that_lead_out_of_a_batch_are_refused_although_the_checksum_is_right() -> None:
    sound = batch(0, [(5, b"k", b"value", [("h", b"x")])])
    inner = range(61, len(sound))
    for place in inner:
        for byte in (0x7F, 0xFF, 0x80, 0x00, 0x01):
            changed = bytearray(sound)
            changed[place] = byte
            changed[17:21] = struct.pack(">I", crc32c(bytes(changed[21:])))
            if unpacked(bytes(changed), 0) is None:
                continue
            with contextlib.suppress(UnicodeDecodeError):  # of a header's name, which nobody here looks at
                assert by_kernel(bytes(changed), 0) == by_library(bytes(changed), 0)


def crc32c(text: bytes) -> int:
    """Bit by bit, as its definition says."""
    remainder = 0xFFFFFFFF
    for byte in text:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def test_control_batches_are_stepped_over() -> None:
    control = bytearray(batch(3, [(5, b"\0\0\0\1", b"\0\0\0\0\0\0", [])], transactional=True))
    control[22] |= 0x20
    control[17:21] = struct.pack(">I", crc32c(bytes(control[21:])))
    answer = batch(2, [(5, b"a", b"1", [])]) + bytes(control) + batch(4, [(6, b"b", b"2", [])])
    assert by_kernel(answer, 2) == ([(2, 5, b"a", b"1"), (4, 6, b"b", b"2")], 5)
    assert by_kernel(bytes(control), 3) == ([], 4)


def test_times_that_the_broker_has_set_count() -> None:
    stamped = bytearray(batch(0, [(5, b"a", b"1", []), (9, b"a", b"2", [])]))
    stamped[22] |= 0x08
    stamped[35:43] = struct.pack(">q", 77)
    stamped[17:21] = struct.pack(">I", crc32c(bytes(stamped[21:])))
    assert [fields[1] for fields in by_kernel(bytes(stamped), 0)[0]] == [77, 77]


def test_offsets_that_were_compacted_away_are_passed() -> None:
    gapped = bytearray(batch(10, [(5, b"a", b"1", [])]))
    gapped[23:27] = struct.pack(">i", 9)
    gapped[17:21] = struct.pack(">I", crc32c(bytes(gapped[21:])))
    assert by_kernel(bytes(gapped), 10) == ([(10, 5, b"a", b"1")], 20)


@pytest.mark.parametrize("compression", [1, 2, 3, 4])
def test_what_is_compressed_is_left_to_the_library(compression: int) -> None:
    try:
        answer = batch(0, [(5, b"a", b"1" * 1_000, [])], compression=compression)
    except RuntimeError:  # without a library for it nobody can read it
        answer = b""
    assert not answer or unpacked(answer, 0) is None


def test_older_layouts_are_left_to_the_library() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1_000)
    builder.append(0, timestamp=5, key=b"a", value=b"1")
    assert unpacked(bytes(builder.build()), 0) is None


def test_slices_are_a_sequence_of_what_they_are_made_of() -> None:
    slices = Slices(b"abcdef", np.array([1, 0, 4]), np.array([2, -1, 0]))
    assert list(slices) == [b"bc", None, b""]
    assert list(slices[1:]) == [None, b""]
    assert slices[-3] == b"bc"
