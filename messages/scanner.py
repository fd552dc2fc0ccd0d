"""Decoding's fast path: the compiled scanner with its tables, for one book."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from messages.columns import EVENT, Events, Source, numbered
from messages.digest import BLOCK, new_cache
from messages.grammar import CELLS, grammar
from messages.money import Money
from messages.records import RawRecords, Slices
from messages.scanning import MOST_TOKENS, TOKEN, scan
from messages.texts import LONGEST_BUFFER, Texts
from messages.verdict import LARGEST_RECORD
from messages.vocabulary import CURRENCIES
from messages.words import PADDING

#: Sources that are remembered although they may not come again.
MOST_SOURCES_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class Scanned:
    """The events that are certainly acceptable, in the order of their records, and which records those are."""

    events: Events
    accepted: NDArray[np.bool_]  # [n]


class Scanner:
    """Scans records of the user topics; `money` and `max_ahead_ms` as in `Decoder`."""

    def __init__(self, money: Money, max_ahead_ms: int) -> None:
        self._grammar, self._topics = grammar()
        self._rates = np.array([0.0, *map(money.factor, CURRENCIES)])
        self._max_ahead_ms = max_ahead_ms
        self._cache = new_cache()
        self._numbers: dict[Source, int] = {}  # of the sources seen so far
        self._sources: tuple[Source, ...] = ()
        self._scratch = np.zeros(MOST_TOKENS, TOKEN), np.zeros(16, np.uint64), np.zeros(len(CELLS), np.uint64)

    def scan(self, batches: Sequence[tuple[Source, RawRecords]]) -> Scanned:
        """What is certainly acceptable among the records of `batches`, each of one partition of a user topic.

        All are scanned in one call: what is fetched at once are few records of many topics. Raises ValueError where
        there are more than 65,536 sources.
        """
        sizes = [len(records) for _, records in batches]
        text, (starts, ends, key_starts, key_ends) = _joined([records for _, records in batches])
        offsets = np.concatenate([np.zeros(0, np.int64), *(records.offsets for _, records in batches)])
        arrived = np.concatenate([np.zeros(0, np.int64), *(records.timestamps for _, records in batches)])
        latest = np.where(arrived <= 0, np.iinfo(np.int64).max, arrived + self._max_ahead_ms)
        numbers = self._numbers_of([source for source, _ in batches])
        topics = np.repeat(np.array([self._topics[source.topic] for source, _ in batches], np.uint8), sizes)
        count = len(offsets)
        rows, accepted = np.zeros(count, EVENT), np.zeros(count, np.bool_)
        places = np.zeros((3, count), np.uint64)
        done = scan(
            np.frombuffer(text, np.uint8),
            starts,
            ends,
            key_starts,
            key_ends,
            latest,
            topics,
            *self._grammar,
            self._rates,
            self._cache,
            *self._scratch,
            rows,
            places,
            accepted,
        )
        whole, (users, ids, references) = (text,), places[:, :done]
        source = np.repeat(numbers, sizes)
        if done < count:
            source, offsets, arrived = source[accepted], offsets[accepted], arrived[accepted]
        events = Events(
            columns=rows[:done],
            users=Texts(whole, users),
            ids=Texts(whole, ids),
            references=Texts(whole, references),
            sources=self._sources,
            source=source,
            offset=offsets,
            arrived=arrived,
        )
        return Scanned(events, accepted)

    def _numbers_of(self, sources: Sequence[Source]) -> NDArray[np.uint16]:
        """Of each its index in `self._sources`, which stays the same tuple until one comes that was not there yet.

        So events of different calls are put together without a look at their sources.
        """
        known = self._numbers
        if not known.keys() >= set(sources):
            # Topics that are created anew again and again must not fill the memory.
            kept = self._sources if len(known) + len(sources) <= MOST_SOURCES_KEPT else ()
            _, self._sources = numbered([*kept, *sources])
            known = self._numbers = {source: number for number, source in enumerate(self._sources)}
        return np.array([known[source] for source in sources], np.uint16)


def _joined(batches: Sequence[RawRecords]) -> tuple[bytes, NDArray[np.int64]]:
    """All bytes in one padded buffer, and i8[4, n]: where each value begins and ends, and where its key does.

    Missing and too long ones are left empty. Raises ValueError where there are more bytes than a place in `Texts` can
    tell.
    """
    if not batches:
        return PADDING, np.zeros((4, 0), np.int64)
    slices = [(_sliced(records.values), _sliced(records.keys)) for records in batches]
    buffers, places, size = list[bytes](), list[tuple[int, int]](), 0
    for values, keys in slices:
        at_values = at_keys = size
        buffers.append(values.buffer)
        size += len(values.buffer)
        if keys.buffer is not values.buffer:
            at_keys = size
            buffers.append(keys.buffer)
            size += len(keys.buffer)
        places.append((at_values, at_keys))
    if size > LONGEST_BUFFER:
        raise ValueError(f"records of {size} bytes are too much for one call")
    shifts = np.repeat(np.array(places, np.int64).T, [len(values) for values, _ in slices], axis=1)
    bounds = np.empty((4, shifts.shape[1]), np.int64)
    _fill(bounds[:2], [values for values, _ in slices], shifts[0], LARGEST_RECORD)
    _fill(bounds[2:], [keys for _, keys in slices], shifts[1], BLOCK)
    return b"".join([*buffers, PADDING]), bounds


def _fill(bounds: NDArray[np.int64], slices: Sequence[Slices], shifts: NDArray[np.int64], longest: int) -> None:
    """Note in i8[2, n] where each slice begins and ends in a buffer that has its own `shifts` further back."""
    starts, ends = bounds
    np.add(np.concatenate([one.starts for one in slices]), shifts, out=starts)
    lengths = np.concatenate([one.lengths for one in slices])
    np.add(starts, np.where((lengths < 0) | (lengths > longest), 0, lengths), out=ends)


def _sliced(parts: Sequence[bytes | None]) -> Slices:
    """The parts as slices of one buffer."""
    if isinstance(parts, Slices):
        return parts
    lengths = np.fromiter((-1 if part is None else len(part) for part in parts), np.int64, len(parts))
    ends = np.cumsum(np.maximum(lengths, 0))
    return Slices(b"".join(part or b"" for part in parts), ends - np.maximum(lengths, 0), lengths)
