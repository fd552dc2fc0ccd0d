"""The records of an owned partition's users that are kept unpacked, so that only unknown users are read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.packing import NewerSchema, pack, unpack
from features.record import RECORD, SCHEMA_VERSION
from messages.hashing import hash_column
from store.contract import CorruptState, PartitionStore

#: Numpy copies records field by field; as opaque items of the same size they move ten times as fast.
_OPAQUE = np.dtype(f"V{RECORD.itemsize}")
#: Row numbers from here on stand for unknown users until they are loaded.
_UNKNOWN = 1 << 31
_NEVER_EVICTED = np.iinfo(np.uint32).max
#: When it is full, this share of the capacity is evicted beyond what is needed, so that not every batch has to search.
_SLACK = 16
_REMEDY = "run the newer version again, or restore the Redis snapshot from before the upgrade (docs/upgrading.md)"


class _RowOf(dict[str, int]):
    """Row by user; a user without one is noted in `unknown` and gets a number from `_UNKNOWN` on."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: dict[str, int] = {}

    def __missing__(self, user: str) -> int:
        return self.unknown.setdefault(user, _UNKNOWN + len(self.unknown))


class Residents:
    """An array of records with one row per user; where it is full, the least recently used are forgotten.

    A batch is everything between two calls of `packed`: rows given out in it stay where they are, because they may
    have been changed and not been committed. A batch with more than `capacity` users makes the array larger than that.
    Used by one task at a time.
    """

    def __init__(self, store: PartitionStore, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._store = store
        self._capacity = capacity
        self.clear()

    def __len__(self) -> int:
        """Return the number of resident users."""
        return len(self._row_of)

    @property
    def records(self) -> NDArray[np.void]:
        """RECORD[n]: the records by row. `rows` may replace this array, so ask for it anew after each call."""
        return self._records

    @property
    def users(self) -> Sequence[str]:
        """User by row, "" for a free one; `rows` may change it."""
        return self._names

    def clear(self) -> None:
        """Forget everybody, as when the partition was lost."""
        # Zeroed memory is given page by page as it is first written to: rows that are not used yet cost nothing, and
        # nothing is ever copied into a larger array.
        self._records = np.zeros(self._capacity, RECORD)
        self._used = np.full(len(self._records), _NEVER_EVICTED, np.uint32)
        self._row_of = _RowOf()
        self._names: list[str] = []
        self._free: list[int] = []
        self._call = self._batch_began = 0

    async def rows(self, users: Sequence[str]) -> NDArray[np.uint32]:
        """Return u4[n], the row of each of `users` (repeats allowed), after loading those that are not resident.

        A user without a stored record gets a new one. Where loading fails (StoreUnavailable, CorruptState), nothing
        has changed.
        """
        self._call += 1
        rows = np.fromiter(map(self._row_of.__getitem__, users), np.uint32, len(users))
        if self._row_of.unknown:
            names = list(self._row_of.unknown)
            self._row_of.unknown = {}
            loaded = await self._load(names)
            is_new = rows >= _UNKNOWN
            self._used[rows[~is_new]] = self._call
            places = self._places(len(names))
            self._records.view(_OPAQUE)[places] = loaded.view(_OPAQUE)
            for name, row in zip(names, places.tolist(), strict=True):
                self._names[row] = name
            self._row_of.update(zip(names, places.tolist(), strict=True))
            rows[is_new] = places[rows[is_new] - _UNKNOWN]
        self._used[rows] = self._call
        return rows

    def users_of(self, rows: NDArray[np.uint32]) -> list[str]:
        """Return the user of each row."""
        return list(map(self._names.__getitem__, rows.tolist()))

    def packed(self, rows: NDArray[np.uint32]) -> dict[str, bytes]:
        """Return the packed records of `rows` (each row once) by user; this ends the batch."""
        self._batch_began = self._call
        records = self._records.view(_OPAQUE)[rows].view(RECORD)
        return dict(zip(self.users_of(rows), pack(records), strict=True))

    def forget(self, rows: NDArray[np.uint32]) -> None:
        """Give up `rows` (each row once), as when their users are retired."""
        numbers = rows.tolist()
        for row in numbers:
            del self._row_of[self._names[row]]
            self._names[row] = ""
        self._free += numbers
        self._used[rows] = _NEVER_EVICTED

    async def _load(self, users: Sequence[str]) -> NDArray[np.void]:
        """Read RECORD[k] of `users`; new ones carry nothing but who they are."""
        stored = await self._store.load(users)
        records = np.zeros(len(users), RECORD)
        try:
            unpack(stored, records)
        except ValueError as error:
            raise _culprit(users, stored, error) from error
        new = np.flatnonzero(np.fromiter((record is None for record in stored), np.bool_, len(stored)))
        records["user"][new] = hash_column([users[index] for index in new.tolist()])
        records["schema"][new] = SCHEMA_VERSION
        return records

    def _places(self, count: int) -> NDArray[np.uint32]:
        """Return u4[count] free rows, by forgetting users where the capacity is reached."""
        missing = len(self._row_of) + count - self._capacity
        if missing > 0:
            self._evict(missing)
        reused = min(count, len(self._free))
        places = self._free[len(self._free) - reused :]
        del self._free[len(self._free) - reused :]
        fresh = range(len(self._names), len(self._names) + count - reused)
        self._names.extend([""] * len(fresh))
        if len(self._names) > len(self._records):
            self._grow(len(self._names))
        return np.array([*places, *fresh], np.uint32)

    def _evict(self, missing: int) -> None:
        candidates = np.flatnonzero(self._used <= self._batch_began)
        count = min(len(candidates), missing + self._capacity // _SLACK)
        if count:
            oldest = np.argpartition(self._used[candidates], count - 1)[:count]
            self.forget(candidates[oldest].astype(np.uint32))

    def _grow(self, needed: int) -> None:
        records = np.zeros(needed, RECORD)
        used = np.full(needed, _NEVER_EVICTED, np.uint32)
        records.view(_OPAQUE)[: len(self._records)] = self._records.view(_OPAQUE)
        used[: len(self._used)] = self._used
        self._records, self._used = records, used


def _culprit(users: Sequence[str], stored: Sequence[bytes | None], error: ValueError) -> CorruptState:
    """Name the user whose record cannot be read."""
    scratch = np.zeros(1, RECORD)
    for user, record in zip(users, stored, strict=True):
        try:
            unpack([record], scratch)
        except ValueError as own:
            remedy = f"; {_REMEDY}" if isinstance(own, NewerSchema) else ""
            return CorruptState(user=user, message=f"record of a user: {own}{remedy}")
    return CorruptState(f"records of {len(users)} users: {error}")
