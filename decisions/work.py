"""What is to be decided of one partition, and several of these under one numbering."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from features.kernel import Advanced
from messages.columns import Events


class Work(NamedTuple):
    """One partition's batch; members as the parameters of `decisions.decide.decide`."""

    records: NDArray[np.void]
    events: Events
    users: Sequence[str]
    watermark: int
    clock: int = 0
    rows_due: NDArray[np.uint32] | None = None


class Share(NamedTuple):
    """Where one work's part lies in what was worked out of all of them together."""

    work: Work
    first_event: int
    first_row: int  # of its records
    lines: slice  # of the m that were advanced
    users: slice  # of the k users that these lines are about
    rows: NDArray[np.uint32]  # of these users, in the work's own records
    watermark: int


def shares(works: Sequence[Work], advanced: Advanced, rows: NDArray[np.uint32]) -> list[Share]:
    """The share of each work; `rows` are those that `advanced` is about, ascending."""
    first_events = accumulate((len(work.events) for work in works), initial=0)
    first_rows = [*accumulate((len(work.records) for work in works), initial=0)]
    bounds = np.searchsorted(rows, first_rows).tolist()
    found = []
    for number, (work, first_event) in enumerate(zip(works, first_events, strict=False)):
        users = slice(bounds[number], bounds[number + 1])
        found.append(
            Share(
                work,
                first_event,
                first_rows[number],
                slice(advanced.ends[number - 1] if number else 0, advanced.ends[number]),
                users,
                rows[users] - np.uint32(first_rows[number]),
                advanced.watermarks[number],
            )
        )
    return found


class Users(Sequence[str]):
    """Users by row, where the rows of each work go on behind those of the one before."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._starts = [*accumulate((len(work.records) for work in works), initial=0)]
        self._of = [work.users for work in works]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        work = bisect_right(self._starts, row) - 1
        return self._of[work][row - self._starts[work]]
