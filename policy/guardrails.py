"""Guard rails: the most that may be decided about one user within a period."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy.document import GuardRails

Counted = Literal["raises", "cuts", "warnings"]
_LARGEST_COUNT = 255


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the guard rails still leave in the period of STANDING[p] at `time` i8[p] (seconds), for the rows asked."""

    rails: GuardRails
    standing: NDArray[np.void]
    time: NDArray[np.int64]

    def raises(self, at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Of limits, i8[len(at)]."""
        return self._left(self.rails.raises, "raises_counted", at)

    def cuts(self, at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Of limits, i8[len(at)]."""
        return self._left(self.rails.cuts, "cuts_counted", at)

    def warnings(self, at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Newly raised ones, i8[len(at)]."""
        return self._left(self.rails.warnings, "warnings_counted", at)

    def _left(self, most: int, counted: str, at: NDArray[np.intp]) -> NDArray[np.int64]:
        counting = _within(self.rails, self.standing["counted_from"][at].astype(np.int64), self.time[at])
        return np.asarray(most - np.where(counting, self.standing[counted][at].astype(np.int64), 0))


def count(rails: GuardRails, standing: np.void, time: int, what: Counted) -> None:
    """Note one more decision in a user's standing, in place; a new period begins where the last one is over."""
    if not _within(rails, int(standing["counted_from"]), time):
        standing["counted_from"] = time
        for counted in ("raises_counted", "cuts_counted", "warnings_counted"):
            standing[counted] = 0
    standing[f"{what}_counted"] = min(int(standing[f"{what}_counted"]) + 1, _LARGEST_COUNT)


def _within(rails: GuardRails, since: Any, time: Any) -> Any:
    """Whether the period that began at `since` (0: none has) still counts; a late event counts in the newest one."""
    return (since > 0) & (time < since + rails.period)
