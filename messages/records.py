"""Records as the log delivers them: what decoding reads of them, one by one and as columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray


class RawRecord(Protocol):
    """What decoding reads of a record; aiokafka's ConsumerRecord has it all.

    `timestamp` is when the broker got the record, in milliseconds; 0 or less where unknown.
    """

    @property
    def value(self) -> bytes | None:
        """The event, JSON in UTF-8; None for a tombstone."""
        ...

    @property
    def key(self) -> bytes | None:
        """The partition key: the user id."""
        ...

    @property
    def offset(self) -> int:
        """Place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """Arrival at the broker in milliseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """A record that does not come from Kafka; `offset` is then its number in the file."""

    value: bytes | None
    key: bytes | None
    offset: int
    timestamp: int = 0


@dataclass(slots=True, eq=False)
class Slices(Sequence[bytes | None]):
    """Byte strings that lie in one buffer, at `starts` i8[n]; a length of -1 stands for None.

    Neither this nor `RawRecords` is frozen, though nothing changes them: each fetch makes dozens, and that would take
    four times as long.
    """

    buffer: bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Slices": ...
    def __getitem__(self, index: int | slice) -> "bytes | Slices | None":
        if isinstance(index, slice):
            return Slices(self.buffer, self.starts[index], self.lengths[index])
        start, length = int(self.starts[index]), int(self.lengths[index])
        return None if length < 0 else self.buffer[start : start + length]

    def __iter__(self) -> Iterator[bytes | None]:
        buffer = self.buffer
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield None if length < 0 else buffer[start : start + length]


@dataclass(slots=True)
class RawRecords:
    """n records of one topic partition, in the order of their offsets; every member has n entries."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]  # arrival at the broker in ms; 0 or less where unknown

    @staticmethod
    def of(records: Iterable[RawRecord]) -> "RawRecords":
        """The columns of records that are one object each."""
        each = records if isinstance(records, list | tuple) else list(records)
        return RawRecords(
            [record.value for record in each],
            [record.key for record in each],
            np.fromiter([record.offset for record in each], np.int64, len(each)),
            np.fromiter([record.timestamp for record in each], np.int64, len(each)),
        )

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, start: int, stop: int) -> "RawRecords":
        """The records from `start` up to `stop`; the arrays are views."""
        return RawRecords(
            self.values[start:stop], self.keys[start:stop], self.offsets[start:stop], self.timestamps[start:stop]
        )

    def take(self, indices: NDArray[np.integer]) -> "RawRecords":
        """The records at `indices` (integer [k]), in that order."""
        chosen = indices.tolist()
        return RawRecords(
            [self.values[i] for i in chosen],
            [self.keys[i] for i in chosen],
            self.offsets[indices],
            self.timestamps[indices],
        )


NO_RECORDS = RawRecords.of(())
