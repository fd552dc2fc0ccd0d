"""The records of an owned partition's users that are kept unpacked, so that only unknown users are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.packing import NewerSchema, pack_rows, unpack
from features.record import RECORD, SCHEMA_VERSION
from messages.blobs import Blobs
from messages.hashing import hash_column
from messages.texts import Texts
from store.contract import CorruptState, PackedRecords, PartitionStore
from store.names import NOBODY, Names

_NEVER_EVICTED = np.iinfo(np.uint32).max
#: When it is full, this share of the capacity is evicted beyond what is needed, so that not every batch has to search.
_SLACK = 16
_REMEDY = "run the newer version again, or restore the Redis snapshot from before the upgrade (docs/upgrading.md)"


@dataclass(frozen=True, slots=True)
class Layout:
    """What a record looks like in memory, and as bytes in the store.

    It has a field `next_timer` (u4, s). `pack` gives the bytes of some rows of an array, `unpack` fills zeroed records
    from bytes (None: none stored; raises ValueError for what is damaged), and `begin` makes records of new users, given
    their names, of zeroed ones.
    """

    dtype: np.dtype[np.void]
    pack: Callable[[NDArray[np.void], NDArray[np.uint32]], Blobs]
    unpack: Callable[[Sequence[bytes | None], NDArray[np.void]], None]
    begin: Callable[[NDArray[np.void], Sequence[str]], NDArray[np.void]]


def _begin(records: NDArray[np.void], users: Sequence[str]) -> NDArray[np.void]:
    """New users carry nothing but who they are."""
    records["user"] = hash_column(users)
    records["schema"] = SCHEMA_VERSION
    return records


#: The product's own records.
RECORDS = Layout(RECORD, pack_rows, unpack, _begin)


class Residents:
    """An array of records with one row per user; where it is full, the least recently used are forgotten.

    A batch is everything between two calls of `packed`: rows given out in it stay where they are, because they may
    have been changed and not been committed. A batch with more than `capacity` users makes the array larger than that.
    Used by one task at a time.
    """

    def __init__(self, store: PartitionStore, capacity: int, layout: Layout = RECORDS) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._store, self._layout = store, layout
        # Numpy copies records field by field; as opaque items of the same size they move ten times as fast.
        self._opaque = np.dtype(f"V{layout.dtype.itemsize}")
        self._capacity = capacity
        self.clear()

    def __len__(self) -> int:
        """Return the number of resident users."""
        return self._given - len(self._free)

    @property
    def records(self) -> NDArray[np.void]:
        """The records by row. `rows` may replace this array, so ask for it anew after each call."""
        return self._records

    @property
    def users(self) -> Sequence[str]:
        """User by row, "" for a free one; `rows` may change it."""
        return self._names

    def clear(self) -> None:
        """Forget everybody, as when the partition was lost."""
        # Zeroed memory is given page by page as it is first written to: rows that are not used yet cost nothing, and
        # nothing is ever copied into a larger array.
        self._records = np.zeros(self._capacity, self._layout.dtype)
        self._used = np.full(len(self._records), _NEVER_EVICTED, np.uint32)
        self._stored_timers = np.zeros(len(self._records), np.uint32)  # as the store has them
        self._names = Names(self._capacity)
        self._given = 0  # rows that were ever given to a user
        self._free: list[int] = []
        self._call = self._batch_began = 0

    async def rows(self, users: Sequence[str]) -> NDArray[np.uint32]:
        """Return u4[n], the row of each of `users` (repeats allowed), after loading those that are not resident.

        A user without a stored record gets a new one. Where loading fails (StoreUnavailable, CorruptState), nothing
        has changed.
        """
        self._call += 1
        texts = Texts.of(users)
        rows = self._names.rows_of(texts)
        unknown = np.flatnonzero(rows == NOBODY)
        if len(unknown):
            numbers = dict[str, int]()  # of each unknown user
            number = [numbers.setdefault(user, len(numbers)) for user in texts.take(unknown)]
            names = list(numbers)
            loaded = await self._load(names)
            self._used[rows[rows != NOBODY]] = self._call
            places = self._places(len(names))
            self._records.view(self._opaque)[places] = loaded.view(self._opaque)
            self._stored_timers[places] = loaded["next_timer"]
            self._names.enter(places, names)
            rows[unknown] = places[number]
        self._used[rows] = self._call
        return rows

    def users_of(self, rows: NDArray[np.uint32]) -> list[str]:
        """Return the user of each row."""
        return list(map(bytes.decode, self._names.blobs(rows).tolist()))

    def packed(self, rows: NDArray[np.uint32]) -> PackedRecords:
        """Return the packed records of `rows` (each row once) by user; this ends the batch."""
        self._batch_began = self._call
        return PackedRecords(self._names.blobs(rows), self._layout.pack(self._records, rows))

    def moved_timers(self, rows: NDArray[np.uint32]) -> dict[str, int]:
        """Return the next timer (s; 0: none) of those of `rows` (each row once) whose timer the store has otherwise.

        From now on they count as stored.
        """
        timers = self._records["next_timer"][rows]
        moved = np.flatnonzero(timers != self._stored_timers[rows])
        self._stored_timers[rows[moved]] = timers[moved]
        return dict(zip(self.users_of(rows[moved]), timers[moved].tolist(), strict=True))

    def forget(self, rows: NDArray[np.uint32]) -> None:
        """Give up `rows` (each row once), as when their users are retired."""
        self._names.leave(rows)
        self._free += rows.tolist()
        self._used[rows] = _NEVER_EVICTED

    async def _load(self, users: Sequence[str]) -> NDArray[np.void]:
        """Read the records of `users`, in their order."""
        stored = await self._store.load(users)
        records = np.zeros(len(users), self._layout.dtype)
        try:
            self._layout.unpack(stored, records)
        except ValueError as error:
            raise self._culprit(users, stored, error) from error
        new = [index for index, record in enumerate(stored) if record is None]
        if new:
            begun = self._layout.begin(np.zeros(len(new), self._layout.dtype), [users[index] for index in new])
            records.view(self._opaque)[new] = begun.view(self._opaque)
        return records

    def _culprit(self, users: Sequence[str], stored: Sequence[bytes | None], error: ValueError) -> CorruptState:
        """Name the user whose record cannot be read."""
        scratch = np.zeros(1, self._layout.dtype)
        for user, record in zip(users, stored, strict=True):
            try:
                self._layout.unpack([record], scratch)
            except ValueError as own:
                remedy = f"; {_REMEDY}" if isinstance(own, NewerSchema) else ""
                return CorruptState(user=user, message=f"record of a user: {own}{remedy}")
        return CorruptState(f"records of {len(users)} users: {error}")

    def _places(self, count: int) -> NDArray[np.uint32]:
        """Return u4[count] free rows, by forgetting users where the capacity is reached."""
        missing = len(self) + count - self._capacity
        if missing > 0:
            self._evict(missing)
        reused = min(count, len(self._free))
        places = self._free[len(self._free) - reused :]
        del self._free[len(self._free) - reused :]
        fresh = range(self._given, self._given + count - reused)
        self._given = fresh.stop
        if self._given > len(self._records):
            self._grow(self._given)
        return np.array([*places, *fresh], np.uint32)

    def _evict(self, missing: int) -> None:
        candidates = np.flatnonzero(self._used <= self._batch_began)
        count = min(len(candidates), missing + self._capacity // _SLACK)
        if count:
            oldest = np.argpartition(self._used[candidates], count - 1)[:count]
            self.forget(candidates[oldest].astype(np.uint32))

    def _grow(self, needed: int) -> None:
        records = np.zeros(needed, self._layout.dtype)
        used = np.full(needed, _NEVER_EVICTED, np.uint32)
        records.view(self._opaque)[: len(self._records)] = self._records.view(self._opaque)
        used[: len(self._used)] = self._used
        timers = np.zeros(needed, np.uint32)
        timers[: len(self._stored_timers)] = self._stored_timers
        self._records, self._used, self._stored_timers = records, used, timers
        self._names.grow(needed)
