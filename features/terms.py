"""The constants that a policy sets for the kernels."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features.record import DAY

STAGES_MAX = 16

#: `Terms` as the kernels read it; `stages` holds `stage_count` ascending days past due.
TERMS = np.dtype(
    [
        ("allowed_lateness", "i8"),
        ("default_days", "i8"),
        ("horizon", "i8"),  # s
        ("retention", "i8"),  # s
        ("night_start", "i8"),
        ("night_end", "i8"),
        ("utc_offset", "i8"),
        ("stage_count", "i8"),
        ("stages", "i8", (STAGES_MAX,)),
    ]
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy fixes about time and default; the defaults suit a book in China.

    Raises ValueError where a value is out of its range.
    """

    allowed_lateness: int = 3_600  # s that an event may come behind the newest one before timers stop waiting for it
    stage_days: tuple[int, ...] = (1, 7, 15, 30, 60, 90)  # days past due at which a TICK is wanted
    default_days: int = 30  # days past due that make a training label positive
    horizon_days: int = 60  # a label is negative when this many days have passed without a default
    retention_days: int = 730  # a closed account's record is kept this long after its last event
    night_start: int = 0  # local hours [night_start, night_end) are night; may wrap around midnight
    night_end: int = 6
    utc_offset: int = 28_800  # s to add to UTC for local time

    def __post_init__(self) -> None:
        for name in ("allowed_lateness", "default_days", "horizon_days", "retention_days"):
            if not (name == "allowed_lateness" and self.allowed_lateness == 0) and getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        if not all(0 <= hour <= 24 for hour in (self.night_start, self.night_end)):
            raise ValueError("night_start and night_end are hours, 0 to 24")
        if abs(self.utc_offset) > DAY:
            raise ValueError("utc_offset is more than a day")
        if any(stage < 1 for stage in self.stage_days) or len(self.stages()) > STAGES_MAX:
            raise ValueError(f"stage_days are positive, with default_days at most {STAGES_MAX}")

    def stages(self) -> tuple[int, ...]:
        """Days past due at which a TICK is due, ascending: `stage_days` and `default_days`."""
        return tuple(sorted({*self.stage_days, self.default_days}))

    def arrays(self) -> NDArray[np.void]:
        """This as TERMS[1], what the kernels take; shared, not to be written to."""
        return _arrays(self)


@cache
def _arrays(terms: Terms) -> NDArray[np.void]:
    row = np.zeros(1, TERMS)
    stages = terms.stages()
    row["allowed_lateness"] = terms.allowed_lateness
    row["default_days"] = terms.default_days
    row["horizon"] = terms.horizon_days * DAY
    row["retention"] = terms.retention_days * DAY
    row["night_start"] = terms.night_start
    row["night_end"] = terms.night_end
    row["utc_offset"] = terms.utc_offset
    row["stage_count"] = len(stages)
    row["stages"][0, : len(stages)] = stages
    return row
