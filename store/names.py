"""The names of users by row, and the row of each name, as bytes: of a name that is known no object is made."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from messages.blobs import Blobs
from messages.compiled import Rows, compiled, part, signed
from messages.gathering import buffer_of, length_of, start_of
from messages.indexed import Indexed
from messages.texts import Texts
from messages.words import copy

#: Stands for the row of a name that is not known.
NOBODY: int = np.iinfo(np.uint32).max
#: Bytes that each name has room for, until a longer one comes.
_WIDTH = 16
_u8: Any = np.uint64

_Bytes = Annotated[Any, Rows(np.uint8)]
_Lengths = Annotated[Any, Rows(np.uint16)]
_Numbers = Annotated[Any, Rows(np.uint32)]
_Ends = Annotated[Any, Rows(np.int64)]
_Places = Annotated[Any, Rows(np.uint64)]


@part
def _slot(text: Any, at: int, count: int, mask: int) -> int:
    """Where the search for `count` bytes from `at` on begins: FNV-1a, folded because its low bits are the weaker ones.

    http://www.isthe.com/chongo/tech/comp/fnv/
    """
    found = _u8(0xCBF29CE484222325)
    for k in range(count):
        found = (found ^ _u8(text[_u8(at + k)])) * _u8(0x100000001B3)
    return signed((found ^ found >> _u8(32)) & _u8(mask))


@part
def _home(row: int, names: Any, width: int, lengths: Any, mask: int) -> int:
    """Where the search for the name of a row begins."""
    return _slot(names, row * width, signed(lengths[row]), mask)


@part
def _equal(one: Any, at: int, other: Any, other_at: int, count: int) -> bool:
    """Compare byte by byte: names are short, and nothing need stand behind them."""
    k = 0
    while k < count and one[_u8(at + k)] == other[_u8(other_at + k)]:
        k += 1
    return k == count


@compiled
def _find(
    text: _Bytes,
    number: int,
    places: _Places,
    names: _Bytes,
    width: int,
    lengths: _Lengths,
    table: _Numbers,
    rows: _Numbers,
) -> None:
    """Set `rows[i]` for each of the `places` (as in `Texts`) that is in buffer `number`, whose bytes are `text`."""
    mask = len(table) - 1
    for i in range(len(places)):
        if buffer_of(places[i]) != number:
            continue
        at, count = start_of(places[i]), length_of(places[i])
        slot = _slot(text, at, count, mask)
        while table[slot] != 0:
            row = signed(table[slot]) - 1
            if signed(lengths[row]) == count and _equal(text, at, names, row * width, count):
                rows[i] = row
                break
            slot = (slot + 1) & mask


@compiled
def _enter(rows: _Numbers, names: _Bytes, width: int, lengths: _Lengths, table: _Numbers) -> None:
    """Let the names of `rows`, which are none of the table's, be found."""
    mask = len(table) - 1
    for i in range(len(rows)):
        row = signed(rows[i])
        slot = _home(row, names, width, lengths, mask)
        while table[slot] != 0:
            slot = (slot + 1) & mask
        table[slot] = row + 1


@compiled
def _leave(rows: _Numbers, names: _Bytes, width: int, lengths: _Lengths, table: _Numbers) -> None:
    """Let the names of `rows`, which are the table's, not be found any more."""
    mask = len(table) - 1
    for i in range(len(rows)):
        row = signed(rows[i])
        hole = _home(row, names, width, lengths, mask)
        while signed(table[hole]) - 1 != row:
            hole = (hole + 1) & mask
        slot = (hole + 1) & mask
        while table[slot] != 0:
            # Whoever was passed on over the hole takes it, or would not be found; nobody goes before where he begins.
            other = signed(table[slot]) - 1
            begins = _home(other, names, width, lengths, mask)
            if (slot - begins) & mask >= (slot - hole) & mask:
                table[hole] = table[slot]
                hole = slot
            slot = (slot + 1) & mask
        table[hole] = 0
        lengths[row] = 0


@compiled
def _gather(rows: _Numbers, names: _Bytes, width: int, lengths: _Lengths, out: _Bytes, ends: _Ends) -> None:
    """Write the names of `rows` one after the other; the one of `rows[i]` ends at `ends[i]`."""
    end = 0
    for i in range(len(rows)):
        row = signed(rows[i])
        count = signed(lengths[row])
        copy(names, row * width, count, out, end)
        end += count
        ends[i] = end


class Names(Indexed[str]):
    """Name by row, "" for a free one, and row by name: an open hash table with linear probing.

    Rows are those that the caller gives to names, less than `NOBODY`; there is room for `len` of them.
    """

    def __init__(self, rows: int) -> None:
        self._width = _WIDTH
        self._bytes = np.zeros(rows * _WIDTH, np.uint8)
        self._lengths = np.zeros(rows, np.uint16)
        self._table = np.zeros(_slots(rows), np.uint32)  # row + 1; 0: nobody

    def __len__(self) -> int:
        return len(self._lengths)

    def item(self, place: int) -> str:
        """Decode the name of one row."""
        start = place * self._width
        return self._bytes[start : start + int(self._lengths[place])].tobytes().decode()

    def rows_of(self, names: Texts) -> NDArray[np.uint32]:
        """Return u4[n], the row of each of n names, NOBODY for an unknown one."""
        rows, places = np.full(len(names), NOBODY, np.uint32), names.places
        for number, text in names.buffers():
            _find(text, number, places, self._bytes, self._width, self._lengths, self._table, rows)
        return rows

    def blobs(self, rows: NDArray[np.uint32]) -> Blobs:
        """Return the names of `rows`, in UTF-8."""
        found = Blobs(np.empty(len(rows) * self._width, np.uint8), np.empty(len(rows), np.int64))
        _gather(rows, self._bytes, self._width, self._lengths, found.buffer, found.ends)
        return found

    def enter(self, rows: NDArray[np.uint32], names: Sequence[str]) -> None:
        """Give free rows to unknown names, of less than 64 kB each."""
        encoded = [name.encode() for name in names]
        lengths = list(map(len, encoded))
        self._widen(max(lengths, default=0))
        padded = np.array(encoded, f"S{self._width}").view(np.uint8)
        self._bytes.reshape(-1, self._width)[rows] = padded.reshape(-1, self._width)
        self._lengths[rows] = lengths
        _enter(rows, self._bytes, self._width, self._lengths, self._table)

    def leave(self, rows: NDArray[np.uint32]) -> None:
        """Forget the names of `rows` (each row once), which are free from now on."""
        _leave(rows, self._bytes, self._width, self._lengths, self._table)

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        more = rows - len(self)
        self._bytes = np.append(self._bytes, np.zeros(more * self._width, np.uint8))
        self._lengths = np.append(self._lengths, np.zeros(more, np.uint16))
        if _slots(rows) > len(self._table):
            known = self._table[self._table != 0] - np.uint32(1)
            self._table = np.zeros(_slots(rows), np.uint32)
            _enter(known, self._bytes, self._width, self._lengths, self._table)

    def _widen(self, longest: int) -> None:
        if longest > self._width:
            width = 1 << (longest - 1).bit_length()
            wider = np.zeros((len(self), width), np.uint8)
            wider[:, : self._width] = self._bytes.reshape(-1, self._width)
            self._bytes, self._width = wider.reshape(-1), width


def _slots(rows: int) -> int:
    """Return a power of two of which at most half will be taken."""
    return 1 << (2 * rows - 1).bit_length()
