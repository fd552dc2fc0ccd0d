"""A fetch's answer as it came: whose records it holds, and where they lie.

The layout is that of version 11 of Kafka's fetch API (https://kafka.apache.org/protocol#The_Messages_Fetch). What the
kernel is not sure of is left to the client library, as in `messages.unpacking`.
"""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled
from messages.unpacking import ODD, big, survey
from messages.words import PADDING

#: Bytes before the topics, and where among them the error of the whole and the number of topics stand.
_HEAD, _ERROR_AT, _TOPICS_AT = 14, 4, 10
#: A partition's bytes before its aborted transactions, those of each of them, and those before its records.
_PART, _ABORTED, _BEFORE_RECORDS = 34, 16, 8
_PART_ERROR_AT, _END_AT, _STABLE_AT, _ABORTED_AT, _LENGTH_AT = 4, 6, 14, 30, 4

#: What an answer says of one partition: where the topic's name begins and ends, the partition's number, the error (0
#: for none), the end of the log (high watermark), the last stable offset, where the partition's batches begin and end,
#: and how many records they say they hold, -1 where the client library has to look.
Part = tuple[int, int, int, int, int, int, int, int, int]
_FIELDS = 9


def laid_out(answer: bytes, begin: int, most: int) -> tuple[bytes, list[Part]] | None:
    """The bytes with PADDING behind them, and where the parts of at most `most` partitions lie in them.

    `begin` is where the body of the answer begins. Returns None where the client library has to look: where something
    is cut off or missing, where there are more partitions, and where the answer as a whole tells of an error.
    """
    text = answer + PADDING
    rows = np.empty((most, _FIELDS), np.int64)
    count = _lay_out(np.frombuffer(text, np.uint8), begin, len(answer), rows)
    if count < 0:
        return None
    parts: list[Part] = list(map(tuple, rows[:count].tolist()))
    return text, parts


@compiled
def _lay_out(text: Annotated[Any, Rows(np.uint8)], at: int, size: int, rows: Annotated[Any, Rows(np.int64, 2)]) -> int:
    """Fill `rows` i8[n, 9] as in `Part` from text[at:size]; returns how many there are, -1 where anything is odd."""
    if size - at < _HEAD or big(text, at + _ERROR_AT, 2) != 0:
        return ODD
    topics, done = big(text, at + _TOPICS_AT, 4), 0
    if topics < 0:
        return ODD
    at += _HEAD
    for _ in range(topics):
        if size - at < 2:
            return ODD
        name, length = at + 2, big(text, at, 2)
        if length < 0 or length > size - name - 4:
            return ODD
        partitions = big(text, name + length, 4)
        at = name + length + 4
        if partitions < 0 or partitions > len(rows) - done:
            return ODD
        for _ in range(partitions):
            if size - at < _PART:
                return ODD
            aborted = max(big(text, at + _ABORTED_AT, 4), 0)
            start = at + _PART + _ABORTED * aborted + _BEFORE_RECORDS
            if start > size:
                return ODD
            records = big(text, start - _LENGTH_AT, 4)
            if records < 0 or records > size - start:
                return ODD
            rows[done, 0], rows[done, 1] = name, name + length
            rows[done, 2], rows[done, 3] = big(text, at, 4), big(text, at + _PART_ERROR_AT, 2)
            rows[done, 4], rows[done, 5] = big(text, at + _END_AT, 8), big(text, at + _STABLE_AT, 8)
            rows[done, 6], rows[done, 7] = start, start + records
            rows[done, 8] = survey(text, start, start + records)
            at, done = start + records, done + 1
    return done
