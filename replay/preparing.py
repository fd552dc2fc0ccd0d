"""What a replay does with rows before it decides, and needs no state of users for: routing, decoding, putting in order.

What is prepared can be sent to another process (`replay/ahead.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from messages.columns import Events, Source
from messages.decoding import Decoder
from messages.inputs import BROADCAST_TOPICS
from messages.records import RawRecords
from messages.verdict import Refusal
from replay.files import FileRecord, Misfit, chunks, route_all


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch of rows of one file, as far as it can be worked off without knowing any user."""

    count: int  # rows
    events: Events  # in the order of rows; `row` of the columns is set
    opened: Sequence[str]  # users mentioned for the first time: they get the next rows of the book
    broadcasts: Sequence[tuple[str, FileRecord]]  # of market and policies: topic and row, in the order of rows
    refused: Sequence[Refusal]
    file: int = 0  # number of the file, from 0


class _RowOf(dict[str, int]):
    """Gives every user the next row at the first mention."""

    def __missing__(self, user: str) -> int:
        row = self[user] = len(self)
        return row


class Rows:
    """Which row of the book each user has."""

    def __init__(self) -> None:
        self._row_of = _RowOf()

    def of(self, users: Sequence[str]) -> tuple[NDArray[np.uint32], list[str]]:
        """The row of each of `users`, u4[n], and those mentioned for the first time, who get the next rows."""
        known = len(self._row_of)
        rows = np.fromiter(map(self._row_of.__getitem__, users), np.uint32, len(users))
        added = len(self._row_of) - known
        # Newest first: walking past all that are known would take longer the more of them there are.
        return rows, list(islice(reversed(self._row_of), added))[::-1]


class Preparing:
    """Prepares batches of rows, one after the other; `decoder` is of the book's currency."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder, self._rows = decoder, Rows()

    def prepare(self, records: Sequence[FileRecord], file: int = 0) -> Prepared:
        """The next batch; `offset` numbers its rows over all files."""
        by_topic = defaultdict[str, list[FileRecord]](list)
        refused: list[Refusal] = []
        for record, topic in zip(records, route_all(records), strict=True):
            if isinstance(topic, Misfit):
                refused.append(_misfit(topic))
            else:
                by_topic[topic].append(record)
        told = BROADCAST_TOPICS.keys() & by_topic.keys()
        broadcasts = [(topic, record) for topic in told for record in by_topic.pop(topic)]
        broadcasts.sort(key=lambda broadcast: broadcast[1].offset)
        decoded = self._decoder.decode_many([(source(topic), RawRecords.of(rows)) for topic, rows in by_topic.items()])
        events = decoded.events.take(np.argsort(decoded.events.offset, kind="stable"))
        events.columns["row"], opened = self._rows.of(events.users)
        return Prepared(len(records), events, opened, broadcasts, [*refused, *decoded.refused], file)


def prepared(files: Sequence[Path], decoder: Decoder, size: int) -> Iterator[Prepared]:
    """The rows of all files in batches of `size`.

    Raises:
        UnreadableFile: when a file is missing, of an unknown kind, or damaged.
    """
    preparing, first = Preparing(decoder), 0
    for number, path in enumerate(files):
        for chunk in chunks(path, size, first):
            yield preparing.prepare(chunk, number)
            first += len(chunk)


def source(topic: str) -> Source:
    """What stands for the topic's partition in a file."""
    return Source(topic, 0, "file")


def _misfit(misfit: Misfit) -> Refusal:
    record = misfit.record
    return Refusal(source(""), record.offset, record.key, record.value, misfit.error, misfit.message)
