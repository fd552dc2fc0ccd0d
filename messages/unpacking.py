"""The records of a fetch's answer, where they lie: no object is made of any of them.

The layout is that of Kafka's record batches, version 2 (https://kafka.apache.org/documentation/#recordbatch). What is
compressed, of an older layout, or in any way odd is left to the client library.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from messages.checksum import TABLES_C, crc32
from messages.compiled import Rows, compiled, part, signed
from messages.records import RawRecords, Slices
from messages.words import PADDING, word_at

_u8: Any = np.uint64
#: Bytes of a batch before its records, and of them those that its length does not count.
_HEAD, _UNCOUNTED = 61, 12
_LENGTH_AT, _MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT, _LAST_DELTA_AT = 8, 16, 17, 21, 23
_FIRST_TIME_AT, _LATEST_TIME_AT, _COUNT_AT = 27, 35, 57
_COMPRESSED, _BY_BROKER, _CONTROL = 0x07, 0x08, 0x20
#: What kernels return instead of a number of records.
ODD = -1

#: Where one partition's answer begins and ends, how many records it says it holds (`survey`), and the first offset that
#: is wanted.
Span = tuple[int, int, int, int]

_Bytes = Annotated[Any, Rows(np.uint8)]
_Numbers = Annotated[Any, Rows(np.int64)]
_Table = Annotated[Any, Rows(np.int64, 2)]


def unpacked(answer: bytes, first: int) -> tuple[RawRecords, int] | None:
    """The records of one partition's answer from offset `first` on, and the next offset to fetch.

    A batch at the end that was cut off is left out. Returns None where the client library has to look: anything that is
    compressed, of an older layout or damaged.
    """
    text = answer + PADDING
    count = _count(np.frombuffer(text, np.uint8), len(answer))
    return unpacked_each(text, [(0, len(answer), count, first)])[0]


def unpacked_each(text: bytes, spans: Sequence[Span]) -> list[tuple[RawRecords, int] | None]:
    """As `unpacked`, of several partitions whose answers are `spans` of `text`, which ends with PADDING.

    The records of each have a buffer of their own, because what is decoded together is joined by buffer.
    """
    columns = np.empty((6, sum(max(span[2], 0) for span in spans)), np.int64)
    found = np.empty((2, len(spans)), np.int64)
    places = np.array(spans, np.int64).reshape(-1, 4)
    _unpack_each(np.frombuffer(text, np.uint8), places, TABLES_C, columns, found, np.empty(1, np.int64))
    ends, behind = found.tolist()
    offsets, timestamps, keys, key_lengths, values, value_lengths = columns
    each, begin = list[tuple[RawRecords, int] | None](), 0
    for (start, stop, _, _), end, reached in zip(spans, ends, behind, strict=True):
        if end < 0:
            each.append(None)
            continue
        own, some = text[start:stop], slice(begin, end)
        records = RawRecords(
            Slices(own, values[some], value_lengths[some]),
            Slices(own, keys[some], key_lengths[some]),
            offsets[some],
            timestamps[some],
        )
        each.append((records, reached))
        begin = end
    return each


@part
def big(text: Any, at: int, size: int) -> int:
    """A big-endian integer of so many bytes, at most 8, with its sign."""
    word = word_at(text, at)
    swapped = _u8(0)
    for _ in range(8):
        swapped = swapped << _u8(8) | word & _u8(255)
        word = word >> _u8(8)
    return signed(swapped) >> (64 - 8 * size)


@part
def _end_of(text: Any, at: int, size: int) -> int:
    """Where the batch that begins at `at` ends; 0 where it is cut off, -1 where it is odd."""
    if at + _MAGIC_AT >= size:
        return 0
    end = at + _UNCOUNTED + big(text, at + _LENGTH_AT, 4)
    if text[at + _MAGIC_AT] != 2 or end < at + _HEAD:
        return ODD
    return end if end <= size else 0


@part
def survey(text: Any, at: int, size: int) -> int:
    """How many records text[at:size] says it holds, at most as many as can be in it; -1 where it is odd."""
    count = 0
    while True:
        end = _end_of(text, at, size)
        if end < 0:
            return ODD
        if end == 0:
            return count
        records = big(text, at + _COUNT_AT, 4)
        if big(text, at + _ATTRIBUTES_AT, 2) & _COMPRESSED != 0 or records < 0 or records > end - at:
            return ODD
        count += records
        at = end


@compiled
def _count(text: _Bytes, size: int) -> int:
    """As `survey`, of text[:size]."""
    return survey(text, 0, size)


@part
def _varint(text: Any, place: Any, end: int) -> int:
    """The number at place[0], which moves behind it; behind `end` where it does not end before that."""
    result, shift, at = _u8(0), _u8(0), place[0]
    while at < end and shift < _u8(64):
        byte = _u8(text[_u8(at)])
        result |= (byte & _u8(127)) << shift
        at += 1
        if byte < _u8(128):
            place[0] = at
            return signed(result >> _u8(1)) ^ -signed(result & _u8(1))
        shift += _u8(7)
    place[0] = end + 1
    return 0


@part
def _skip_headers(text: Any, place: Any, end: int) -> bool:
    """Step over a record's headers; False where they are odd."""
    headers = _varint(text, place, end)
    if headers < 0 or headers > end:
        return False
    for i in range(2 * headers):
        length = _varint(text, place, end)
        if place[0] > end or length > end - place[0] or (i % 2 == 0 and length < 0):  # a name there must be
            return False
        place[0] += max(length, 0)
    return True


@compiled
def _unpack_each(
    text: _Bytes,
    spans: _Table,
    tables: Annotated[Any, Rows(np.uint32, 2)],
    columns: _Table,
    found: _Table,
    reached: _Numbers,
) -> None:
    """Fill `columns` i8[6, n] with offset, timestamp (ms), and where key and value begin and how long they are.

    Places count from the begin of their span (i8[m, 4], as in `Span`); a length of -1 says that there is none. `found`
    i8[2, m] gets for each span how many columns are filled then, -1 where anything in it is odd, and the next offset to
    fetch. `reached` i8[1] is scratch.
    """
    done = 0
    for i in range(len(spans)):
        start, behind = spans[i, 0], ODD
        reached[0] = spans[i, 3]
        if spans[i, 2] >= 0:
            behind = _unpack(text, start, spans[i, 1], spans[i, 3], tables, columns, done, reached)
        found[0, i], found[1, i] = behind, reached[0]
        for k in range(done, behind):
            columns[2, k] -= start
            columns[4, k] -= start
        done = max(done, behind)


@part
def _unpack(text: Any, start: int, size: int, first: int, tables: Any, columns: Any, done: int, reached: Any) -> int:
    """Fill in the records of text[start:size] from offset `first` on; returns how many there are then, or -1."""
    at = start
    while True:
        end = _end_of(text, at, size)
        if end <= 0:
            return done
        crc = _u8(big(text, at + _CRC_AT, 4)) & _u8(0xFFFFFFFF)
        if crc != crc32(text, at + _ATTRIBUTES_AT, end, tables):
            return ODD
        attributes, base = big(text, at + _ATTRIBUTES_AT, 2), big(text, at, 8)
        if attributes & _CONTROL == 0:
            done = _records(text, at, end, first, base, attributes & _BY_BROKER != 0, columns, done, reached)
            if done < 0:
                return ODD
        reached[0] = max(reached[0], base + big(text, at + _LAST_DELTA_AT, 4) + 1)
        at = end


@part
def _records(
    text: Any, at: int, end: int, first: int, base: int, by_broker: bool, columns: Any, done: int, place: Any
) -> int:
    """Fill in the records of the batch text[at:end]; returns how many there are then, -1 where they are odd."""
    reached = place[0]
    time, latest = big(text, at + _FIRST_TIME_AT, 8), big(text, at + _LATEST_TIME_AT, 8)
    count = big(text, at + _COUNT_AT, 4)
    place[0] = at + _HEAD
    for _ in range(count):
        length = _varint(text, place, end)
        begin = place[0]
        if length < 1 or length > end - begin or text[begin] != 0:  # attributes, of which there are none
            return ODD
        place[0] += 1
        timestamp = time + _varint(text, place, begin + length)
        offset = base + _varint(text, place, begin + length)
        key_length = _varint(text, place, begin + length)
        key = place[0]
        if key > begin + length or key_length > begin + length - key:
            return ODD
        place[0] = key + max(key_length, 0)
        value_length = _varint(text, place, begin + length)
        value = place[0]
        if value > begin + length or value_length > begin + length - value:
            return ODD
        place[0] = value + max(value_length, 0)
        if not _skip_headers(text, place, begin + length) or place[0] != begin + length:
            return ODD
        if offset >= first:
            columns[0, done] = offset
            columns[1, done] = latest if by_broker else timestamp
            columns[2, done] = key
            columns[3, done] = max(key_length, -1)
            columns[4, done] = value
            columns[5, done] = max(value_length, -1)
            done += 1
    if place[0] != end:
        return ODD
    place[0] = reached
    return done
