"""Feature columns, and what is known of a value or a condition in each row: also that it could not be evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.columns import transposed

Bad = NDArray[np.bool_] | None  # rows that could not be evaluated; None: none of them


class Numbers(NamedTuple):
    """f8[m] (or one number for all rows); meaningless where `bad`."""

    values: NDArray[np.float64] | np.float64
    bad: Bad = None


class Truth(NamedTuple):
    """bool[m]: where the condition certainly holds, and where that cannot be known (never both)."""

    true: NDArray[np.bool_]
    bad: Bad = None

    def doubt(self) -> NDArray[np.bool_]:
        """Where it cannot be known, as a mask in any case."""
        return np.zeros_like(self.true) if self.bad is None else self.bad


class Columns:
    """Feature columns by name, each copied out of the matrix [m, width] at most once; those in `wanted` all at once.

    `known` also holds what expressions make of them, by its text in full parentheses; some may be known at the begin.
    """

    def __init__(
        self,
        matrix: NDArray[np.float64],
        index: Mapping[str, int],
        wanted: Sequence[str] = (),
        known: Mapping[str, Numbers | Truth] | None = None,
    ) -> None:
        self.matrix = matrix
        self.known: dict[str, Any] = dict(known or {})
        self._index = index
        if wanted:
            block = transposed(matrix, [index[name] for name in wanted])
            finite = np.isfinite(block)
            sound = np.count_nonzero(finite) == finite.size
            for name, values, sure in zip(wanted, block, finite, strict=True):
                self.known[name] = Numbers(values, None if sound or sure.all() else ~sure)

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, name: str) -> Numbers:
        known: Numbers | None = self.known.get(name)
        if known is None:
            values = np.ascontiguousarray(self.matrix[:, self._index[name]])
            known = self.known[name] = Numbers(values, not_finite(values))
        return known


def not_finite(values: NDArray[np.float64] | np.float64) -> Bad:
    """Where values are no finite numbers."""
    finite = np.isfinite(values)
    return None if np.count_nonzero(finite) == finite.size else np.asarray(~finite)


def either(left: Bad, right: Bad) -> Bad:
    """Rows where one of two could not be evaluated."""
    if left is None:
        return right
    return left if right is None else left | right


def finite_or(numbers: Numbers, instead: float) -> NDArray[np.float64]:
    """The values, with `instead` where they could not be evaluated."""
    if numbers.bad is None:
        return np.asarray(numbers.values, dtype=np.float64)
    return np.where(numbers.bad, instead, numbers.values)
