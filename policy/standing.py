"""The standing: what was decided about a user so far, and the feature columns that follow from it.

It is the policy's part of the user's record. The kernel neither reads nor writes it, so judging a row again after a
decision never needs the kernel again.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.reading import FEATURE_ROW, named
from features.record import DAY, RECORD, STANDING_FIELDS
from messages.compiled import Rows, compiled, signed
from scoring.bounds import larger, smaller, within

#: The policy's part of RECORD, in the order in which it lies there.
STANDING = np.dtype([(name, RECORD[name]) for name in RECORD.names or () if name in STANDING_FIELDS], align=True)


def _runs() -> list[tuple[np.dtype[np.void], np.dtype[np.void]]]:
    """What lies together in RECORD and in STANDING, each time as the bytes `run` of either: copied at once."""
    runs: list[list[int]] = []  # place in RECORD, place in STANDING, bytes
    for name in STANDING.names or ():
        (dtype, there), (_, here) = RECORD.fields[name][:2], STANDING.fields[name][:2]  # type: ignore[index] # both have fields
        if runs and (there, here) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1][2] += dtype.itemsize
        else:
            runs.append([there, here, dtype.itemsize])
    return [(_only(RECORD, there, size), _only(STANDING, here, size)) for there, here, size in runs]


def _only(layout: np.dtype[np.void], offset: int, size: int) -> np.dtype[np.void]:
    return np.dtype({"names": ["run"], "formats": [(np.void, size)], "offsets": [offset], "itemsize": layout.itemsize})


#: The same as bytes: numpy picks structures field by field, which takes ten times as long.
_OPAQUE = np.dtype((np.void, STANDING.itemsize))

_RUNS = _runs()
OPEN, FROZEN, CLOSED = 0, 1, 2  # of the field `frozen`
_NEVER_DAYS = 3_650.0
_LARGEST_RATIO = 1_000.0


def gather(records: NDArray[np.void], rows: NDArray[np.integer]) -> NDArray[np.void]:
    """Copy the standing of `rows`: STANDING[k]."""
    standing = np.zeros(len(rows), STANDING)
    for of_record, of_standing in _RUNS:
        standing.view(of_standing)["run"] = records.view(of_record)["run"][rows]
    return standing


def join(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """STANDING[k] of each part, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.view(_OPAQUE) for part in parts]).view(STANDING)


def pick(standing: NDArray[np.void], at: NDArray[np.integer]) -> NDArray[np.void]:
    """A copy of the entries `at` of a contiguous STANDING[k]."""
    return np.asarray(standing.view(_OPAQUE)[at].view(STANDING))


def put(standing: NDArray[np.void], at: NDArray[np.integer], entries: NDArray[np.void]) -> None:
    """Write STANDING[len(at)] to the entries `at` of a contiguous STANDING[k], in place."""
    standing.view(_OPAQUE)[at] = entries.view(_OPAQUE)


def scatter(records: NDArray[np.void], rows: NDArray[np.integer], standing: NDArray[np.void]) -> None:
    """Write the standing of `rows` back into RECORD[u], in place."""
    for of_record, of_standing in _RUNS:
        records.view(of_record)["run"][rows] = standing.view(of_standing)["run"]


def complete(features: NDArray[np.float64], standing: NDArray[np.void], time: NDArray[np.int64]) -> None:
    """Fill the standing columns of f8[m, WIDTH] in place, for STANDING[m] at `time` i8[m] (seconds).

    While frozen, use of credit counts against the limit from before: a freeze must not look like worse use of credit.
    Raises ValueError where the lengths differ.
    """
    if not len(features) == len(standing) == len(time):
        raise ValueError("features, standing and time must be of the same rows")
    _complete(named(features), standing, time)


@compiled
def _complete(
    rows: Annotated[Any, Rows(FEATURE_ROW)],
    standing: Annotated[Any, Rows(STANDING)],
    time: Annotated[Any, Rows(np.int64)],
) -> None:
    for i in range(len(rows)):
        f, user = rows[i], standing[i]
        limit, owed = float(user.limit), f.owed
        used_of = float(user.limit_before_freeze) if user.frozen == FROZEN else limit
        known, changed = user.limit_version > 0, signed(user.limit_changed)
        f.limit = limit
        f.limit_known = 1.0 if known else 0.0
        f.starting_limit = float(user.starting_limit)
        f.utilisation = owed / used_of if used_of > 0.0 else (1.0 if owed > 0.0 else 0.0)
        f.available_limit = larger(limit - owed, 0.0) if user.frozen == OPEN else 0.0
        f.over_limit_ratio = larger(f.utilisation - 1.0, 0.0) if known and used_of > 0.0 else 0.0
        # What is owed has this event's purchase in it already.
        f.limit_headroom_for_event = limit - owed
        f.grade = float(user.grade)
        f.frozen = 1.0 if user.frozen != OPEN else 0.0
        f.days_since_limit_change = within((time[i] - changed) / DAY, 0.0, _NEVER_DAYS) if changed > 0 else _NEVER_DAYS
        f.limit_to_income = smaller(limit / f.income_estimate, _LARGEST_RATIO) if f.income_estimate > 0.0 else 0.0
