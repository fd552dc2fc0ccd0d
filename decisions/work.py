"""What is to be decided of one partition, and several of these under one numbering."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.kernel import Span
from messages.columns import Events
from messages.indexed import Indexed


class Work(NamedTuple):
    """One partition's batch; members as the parameters of `decisions.decide.decide`."""

    records: NDArray[np.void]
    events: Events
    users: Sequence[str]
    watermark: int
    clock: int = 0
    rows_due: NDArray[np.uint32] | None = None


class Share(NamedTuple):
    """One work's part in what was worked out of all of them together."""

    work: Work
    span: Span
    users: slice  # of the k users that anything is about
    rows: NDArray[np.uint32]  # of these users, in the work's own records


def shares(works: Sequence[Work], spans: Sequence[Span], rows: NDArray[np.uint32]) -> list[Share]:
    """The share of each work; `rows` are those of the k users, ascending."""
    found = []
    for work, span in zip(works, spans, strict=True):
        users = slice(*np.searchsorted(rows, (span.records.start, span.records.stop)).tolist())
        found.append(Share(work, span, users, rows[users] - np.uint32(span.records.start)))
    return found


class Users(Indexed[str]):
    """Users by row, where the rows of each work go on behind those of the one before."""

    def __init__(self, works: Sequence[Work], spans: Sequence[Span]) -> None:
        self._starts: list[int] = [span.records.start for span in spans]
        self._length: int = spans[-1].records.stop
        self._of = [work.users for work in works]

    def __len__(self) -> int:
        return self._length

    def item(self, place: int) -> str:
        """Look into the work that the row is of."""
        work = bisect_right(self._starts, place) - 1
        return self._of[work][place - self._starts[work]]
