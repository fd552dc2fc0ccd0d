"""Purchases of the standard job out of their bytes, in one compiled loop, as the product scans its own records."""

from typing import Annotated, Any

import numpy as np

from benchmarks.standard.columns import EVENT
from messages.checksum import TABLES, crc32
from messages.compiled import Rows, compiled, part
from messages.words import first_of, visible_end

_u8: Any = np.uint64
_QUOTE, _COMMA, _POINT, _ZERO, _NINE, _COLON, _OPEN, _CLOSE = b'",.09:{}'
#: The names of a purchase, by their first eight bytes; each is met once.
_EVENT_ID, _USER_ID, _AMOUNT, _MERCHANT, _TS = (
    _u8(int.from_bytes(name[:8], "little")) for name in (b"event_id", b"user_id", b"amount", b"merchant", b"ts")
)
#: More digits may not be a float's exactly.
_MOST_DIGITS = 15
#: A bit for each of the five fields.
_ALL = 31
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)

_Bytes = Annotated[Any, Rows(np.uint8)]
_Places = Annotated[Any, Rows(np.int64)]


@part
def _number(text: Any, at: int, place: Any) -> float:
    """The plain number at `at`; `place[0]` gets where it ends, `at` where it is none that is certain."""
    digits = whole = behind = 0
    i, in_fraction = at, False
    while True:
        byte = text[_u8(i)]
        if _ZERO <= byte <= _NINE:
            whole = whole * 10 + (byte - _ZERO)
            digits += 1
            behind += 1 if in_fraction else 0
        elif byte == _POINT and not in_fraction:
            in_fraction = True
        else:
            break
        i += 1
    place[0] = i if 0 < digits <= _MOST_DIGITS else at
    return float(whole / _POWERS[min(behind, _MOST_DIGITS)])


@compiled
def scan(
    text: _Bytes,
    starts: _Places,
    ends: _Places,
    tables: Annotated[Any, Rows(np.uint32, 2)],
    rows: Annotated[Any, Rows(EVENT)],
    places: Annotated[Any, Rows(np.uint64, 2)],
    place: _Places,
) -> int:
    """Fill `rows` and u8[2, n] `places` (of user and id, as in `messages.texts`) from text[starts[i]:ends[i]].

    Returns how many records from the first on are plainly what they should be. `place` i8[1] is scratch.
    """
    for i in range(len(starts)):
        at, end, seen, row = starts[i], ends[i], 0, rows[i]
        if text[at] != _OPEN:
            return i
        while text[at] != _CLOSE and at < end:
            name = at + 2  # behind a brace or comma, and a quote
            stop = visible_end(text, name)
            value = stop + 2
            if text[name - 1] != _QUOTE or text[stop] != _QUOTE or text[stop + 1] != _COLON:
                return i
            word, bit = first_of(text, name, stop - name), 0
            if text[value] == _QUOTE:
                last = visible_end(text, value + 1)
                if text[last] != _QUOTE:
                    return i
                at, where = last + 1, _u8(value + 1) << _u8(16) | _u8(last - value - 1)
                if word == _MERCHANT:
                    row.merchant = max(crc32(text, value + 1, last, tables), _u8(1))
                    bit = 1
                elif word == _USER_ID:
                    places[0, i] = where
                    bit = 2
                elif word == _EVENT_ID:
                    places[1, i] = where
                    bit = 4
            else:
                number = _number(text, value, place)
                at = place[0]
                if word == _AMOUNT:
                    row.amount = number
                    bit = 8
                elif word == _TS:
                    row.time = int(number)
                    bit = 16
            if bit == 0 or seen & bit != 0:
                return i
            seen |= bit
            if at == value or (text[at] != _COMMA and text[at] != _CLOSE):
                return i
        if seen != _ALL or at + 1 != end:
            return i
    return len(starts)


def scanned(text: bytes, starts: Any, ends: Any) -> tuple[Any, Any] | None:
    """EVENT[n] and the places of users and ids; None where a record is anything but plain. `text` is padded."""
    rows, places = np.zeros(len(starts), EVENT), np.zeros((2, len(starts)), np.uint64)
    done = scan(np.frombuffer(text, np.uint8), starts, ends, TABLES, rows, places, np.zeros(1, np.int64))
    return (rows, places) if done == len(starts) else None
