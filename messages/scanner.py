"""Decoding's fast path: the compiled scanner with its tables, for one book."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from messages.columns import EVENT, Events, Source, numbered
from messages.digest import BLOCK, new_cache
from messages.grammar import CELLS, grammar
from messages.money import Money
from messages.records import RawRecords
from messages.scanning import MOST_TOKENS, TOKEN, scan
from messages.texts import LONGEST_BUFFER, Texts
from messages.verdict import LARGEST_RECORD
from messages.vocabulary import CURRENCIES
from messages.words import PADDING


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
        self._scratch = np.zeros(MOST_TOKENS, TOKEN), np.zeros(16, np.uint64), np.zeros(len(CELLS), np.uint64)

    def scan(self, batches: Sequence[tuple[Source, RawRecords]]) -> Scanned:
        """What is certainly acceptable among the records of `batches`, each of one partition of a user topic.

        All are scanned in one call: what is fetched at once are few records of many topics. Raises ValueError where
        there are more than 256 sources.
        """
        sizes = [len(records) for _, records in batches]
        values, starts = _joined([value for _, records in batches for value in records.values], LARGEST_RECORD)
        keys, key_starts = _joined([key for _, records in batches for key in records.keys], BLOCK)
        offsets = np.concatenate([np.zeros(0, np.int64), *(records.offsets for _, records in batches)])
        arrived = np.concatenate([np.zeros(0, np.int64), *(records.timestamps for _, records in batches)])
        latest = np.where(arrived <= 0, np.iinfo(np.int64).max, arrived + self._max_ahead_ms)
        numbers, sources = numbered([source for source, _ in batches])
        topics = np.repeat(np.array([self._topics[source.topic] for source, _ in batches], np.uint8), sizes)
        count = len(offsets)
        rows, accepted = np.zeros(count, EVENT), np.zeros(count, np.bool_)
        places = np.zeros((3, count), np.uint64)
        done = scan(
            np.frombuffer(values, np.uint8),
            starts,
            np.frombuffer(keys, np.uint8),
            key_starts,
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
        users, ids, references = places[:, :done]
        source = np.repeat(numbers, sizes)
        if done < count:
            source, offsets, arrived = source[accepted], offsets[accepted], arrived[accepted]
        events = Events(
            columns=rows[:done],
            users=Texts((keys,), users),
            ids=Texts((values,), ids),
            references=Texts((values,), references),
            sources=sources,
            source=source,
            offset=offsets,
            arrived=arrived,
        )
        return Scanned(events, accepted)


def _joined(parts: Sequence[bytes | None], longest: int) -> tuple[bytes, NDArray[np.int64]]:
    """All `parts` in one padded buffer, and where each begins: i8[n + 1]. Missing and too long ones are left empty.

    Raises ValueError where they have more bytes together than a place in `Texts` can tell.
    """
    try:
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))  # type: ignore[arg-type] # None is the exception
    except TypeError:
        return _joined([part or b"" for part in parts], longest)
    if len(parts) and lengths.max() > longest:
        return _joined([part if part and len(part) <= longest else b"" for part in parts], longest)
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    if starts[-1] > LONGEST_BUFFER:
        raise ValueError(f"{len(parts)} records of {starts[-1]} bytes are too much for one call")
    return b"".join([*parts, PADDING]), starts  # type: ignore[list-item] # none of them is None
