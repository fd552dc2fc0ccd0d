"""Many short texts as places in the bytes that they came in: cut out when they are asked for, moved without a look."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from messages.gathering import gather

_BUFFER, _START = 48, 16
_MOST_BUFFERS, _LONGEST = 1 << 64 - _BUFFER, 1 << _START
#: Bytes of a buffer that texts can be told in.
LONGEST_BUFFER = 1 << _BUFFER - _START


class Texts(Sequence[str]):
    """n texts in UTF-8: a word of 64 bits for each says which buffer, from where on, and how many bytes.

    A text keeps its whole buffer in memory.
    """

    __slots__ = ("_buffers", "_places")

    def __init__(self, buffers: tuple[bytes, ...], places: NDArray[np.uint64]) -> None:
        """Places are `buffer << 48 | start << 16 | length`."""
        self._buffers, self._places = buffers, places

    @staticmethod
    def of(texts: Sequence[str]) -> "Texts":
        """The same texts, in a buffer of their own unless they are `Texts` already.

        Raises ValueError where a text has 64 kB or more.
        """
        if isinstance(texts, Texts):
            return texts
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.uint64, len(encoded))
        ends = np.cumsum(lengths, dtype=np.uint64)
        if len(encoded) and (int(lengths.max()) >= _LONGEST or int(ends[-1]) > LONGEST_BUFFER):
            raise ValueError("a text or all of them together are too long")
        return Texts((b"".join(encoded),), (ends - lengths) << np.uint64(_START) | lengths)

    @staticmethod
    def concatenate(parts: Sequence["Texts"]) -> "Texts":
        """All texts of `parts`, one part after the other."""
        if parts and all(part._buffers is parts[0]._buffers for part in parts):
            return Texts(parts[0]._buffers, np.concatenate([part._places for part in parts]))
        if sum(len(part._buffers) for part in parts) > _MOST_BUFFERS:
            return Texts.of([text for part in parts for text in part])
        buffers, places = list[bytes](), [np.zeros(0, np.uint64)]
        for part in parts:
            places.append(part._places + np.uint64(len(buffers) << _BUFFER) if buffers else part._places)
            buffers += part._buffers
        return Texts(tuple(buffers), np.concatenate(places))

    def take(self, indices: NDArray[np.integer]) -> "Texts":
        """The texts at `indices` (integer [k]), in that order."""
        return Texts(self._buffers, self._places.take(indices))

    def tolist(self) -> list[str]:
        """All texts: many times faster than one by one."""
        if not len(self):
            return []
        joined, _ = self._lines()
        texts = joined[:-1].decode().split("\n")
        return texts if len(texts) == len(self) else [self[i] for i in range(len(self))]

    def apart(self) -> "Texts":
        """The same texts in a buffer of their own, which holds nothing else. Raises ValueError where it is too long."""
        joined, starts = self._lines()
        if len(joined) > LONGEST_BUFFER:
            raise ValueError("all texts together are too long")
        lengths = self._places & np.uint64(_LONGEST - 1)
        return Texts((joined,), starts.astype(np.uint64) << np.uint64(_START) | lengths)

    def _lines(self) -> tuple[bytes, NDArray[np.int64]]:
        """All texts, each with the end of a line behind it, and where each starts."""
        lengths = (self._places & np.uint64(_LONGEST - 1)).astype(np.int64)
        ends = np.cumsum(lengths + 1)
        joined = np.full(int(ends[-1]) if len(ends) else 0, ord("\n"), np.uint8)
        places = self.places
        for number, buffer in self.buffers():
            gather(buffer, number, places, ends, joined)
        return joined.tobytes(), ends - 1 - lengths

    @property
    def places(self) -> NDArray[np.uint64]:
        """Of each text `buffer << 48 | start << 16 | length`, contiguous."""
        return np.ascontiguousarray(self._places)

    def buffers(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Number and bytes of each buffer that a text is in."""
        numbers = (self._places >> np.uint64(_BUFFER)).astype(np.int64)
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            yield number, np.frombuffer(self._buffers[number], np.uint8)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Texts": ...
    def __getitem__(self, index: int | slice) -> "str | Texts":
        if isinstance(index, slice):
            return Texts(self._buffers, self._places[index])
        place = int(self._places[index])
        start = place >> _START & LONGEST_BUFFER - 1
        return self._buffers[place >> _BUFFER][start : start + (place & _LONGEST - 1)].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        return self.tolist() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # equal to lists, which have none

    def __repr__(self) -> str:
        return f"Texts({self.tolist()})"
