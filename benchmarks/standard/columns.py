"""The standard job in columns, as our worker does it: a record per user and one compiled loop over a batch."""

import math
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.standard import job

#: Where a window's tiles begin among all tiles.
_FIRST = (0, job.TILES[0], job.TILES[0] + job.TILES[1])
_ALL_TILES = sum(job.TILES)
_WIDTHS, _TILES = job.WIDTHS, job.TILES

#: What decides about warnings has 64 bits; counts and sums of tiles get the fewest that are exact enough (a sum's
#: relative error stays below 1e-6), because every byte of a record is written to the store again and again.
RECORD = np.dtype(
    [
        ("count", "f8"),
        ("mean", "f8"),
        ("squares", "f8"),
        ("next_timer", "i8"),  # none in this job; the worker reads it of every record
        ("last", "u4"),
        ("newest", "u4", (3,)),  # tile number by window
        ("totals", "f4", (_ALL_TILES,)),
        ("merchants", "u4", (job.MERCHANTS,)),
        ("counts", "u2", (_ALL_TILES,)),
        ("known", "u4"),  # merchants ever taken in
    ]
)
#: A purchase; `row` is that of the user's record, `time` and `ts` are the same.
EVENT = np.dtype([("row", "u4"), ("merchant", "u4"), ("time", "i8"), ("amount", "f8")])

_compiled: Callable[..., Any] = numba.njit(error_model="numpy")
_deviation_of, _z_score, _welford = map(_compiled, (job.deviation_of, job.z_score, job.welford))
_score = _compiled(job.score)


class Merchants(dict[str, int]):
    """Number of a merchant: never 0, and the same in every process."""

    def __missing__(self, merchant: str) -> int:
        number = self[merchant] = crc32(merchant.encode()) or 1
        return number


def advance(records: NDArray[np.void], events: NDArray[np.void]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Advance RECORD[u] by EVENT[n], in place and in order; returns features f8[n, 20] and scores f8[n].

    Scores are not a matrix product: its last bits depend on how many rows it has, and where a batch is cut must not
    show.
    """
    features, scores = np.empty((len(events), len(job.NAMES))), np.empty(len(events))
    _advance(records, events, features, scores)
    return features, scores


def compile_kernel() -> None:
    """Compile before the first batch has to wait."""
    advance(np.zeros(1, RECORD), np.zeros(1, EVENT))


def begin(records: NDArray[np.void], _users: Sequence[str]) -> NDArray[np.void]:
    """Records of new users are empty."""
    return records


def pack(records: NDArray[np.void]) -> list[bytes]:
    """Each of RECORD[k] as it lies in memory."""
    packed: list[bytes] = np.ascontiguousarray(records).view(f"V{RECORD.itemsize}").tolist()
    return packed


def unpack(stored: Sequence[bytes | None], records: NDArray[np.void]) -> None:
    """Fill zeroed RECORD[k]. Raises ValueError for bytes of another length."""
    for index, blob in enumerate(stored):
        if blob is not None:
            records[index] = np.frombuffer(blob, RECORD, 1)[0]


@_compiled
def _advance(records: Any, events: Any, features: Any, scores: Any) -> None:
    for index in range(len(events)):
        event, values = events[index], features[index]
        record = records[event.row]
        amount, ts = event.amount, event.time
        deviation = _deviation_of(record.count, record.squares)
        values[0] = _z_score(amount, record.mean, deviation)
        values[1] = ts - np.int64(record.last) if record.last else job.NEVER
        record.count, record.mean, record.squares = _welford(record.count, record.mean, record.squares, amount)
        record.last = ts
        for window in range(3):
            _add(record, window, ts // _WIDTHS[window], amount, values)
        values[12] = _take_in(record, event.merchant)
        values[11] = min(np.int64(record.known), job.MERCHANTS)
        values[13], values[14], values[15] = amount, math.log1p(amount), ts // 3_600 % 24
        values[16], values[17] = values[3] / (values[6] + 1.0), values[6] / (values[9] + 1.0)
        values[18], values[19] = record.mean, deviation
        scores[index] = _score(values)


@_compiled
def _add(record: Any, window: int, tile: Any, amount: float, values: Any) -> None:
    first, tiles = _FIRST[window], _TILES[window]
    newest = np.int64(record.newest[window])
    if tile > newest:
        for passed in range(min(tile - newest, tiles)):
            place = first + (tile - passed) % tiles
            record.counts[place] = 0
            record.totals[place] = 0.0
        record.newest[window] = tile
    place = first + tile % tiles
    record.counts[place] += 1
    record.totals[place] += amount
    count = total = 0.0
    for place in range(first, first + tiles):
        count += record.counts[place]
        total += record.totals[place]
    values[2 + 3 * window] = count
    values[3 + 3 * window] = total
    values[4 + 3 * window] = total / count


@_compiled
def _take_in(record: Any, merchant: int) -> float:
    """Remember a merchant; 1 where it was not known."""
    for place in range(job.MERCHANTS):
        if record.merchants[place] == merchant:
            return 0.0
    record.merchants[np.int64(record.known) % job.MERCHANTS] = merchant
    record.known += 1
    return 1.0
