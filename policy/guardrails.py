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
    """What the guard rails still leave for each row: i8[p]."""

    raises: NDArray[np.int64]
    cuts: NDArray[np.int64]
    warnings: NDArray[np.int64]


def remaining(rails: GuardRails, standing: NDArray[np.void], time: NDArray[np.int64]) -> Remaining:
    """How many raises, cuts and warnings are left in the period of STANDING[p] at `time` i8[p] (seconds)."""
    counting = _within(rails, standing["counted_from"].astype(np.int64), time)

    def left(most: int, counted: str) -> NDArray[np.int64]:
        return most - np.where(counting, standing[counted].astype(np.int64), 0)

    return Remaining(
        raises=left(rails.raises, "raises_counted"),
        cuts=left(rails.cuts, "cuts_counted"),
        warnings=left(rails.warnings, "warnings_counted"),
    )


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
