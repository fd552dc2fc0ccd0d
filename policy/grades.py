"""Grades with hysteresis, and when a score is published."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from messages.outputs import GRADES
from policy.columns import Columns, Truth
from policy.document import Grades
from policy.reasons import Draft as Reason
from policy.reasons import number
from policy.row import Draft, Row
from policy.triggers import Failures

A, B, C = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Graded:
    """The grade of each of p rows after it (u1), and whether its score is published (bool)."""

    grade: NDArray[np.uint8]
    moved: NDArray[np.bool_]


def assess(
    rules: Grades,
    columns: Columns,
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    probability: NDArray[np.float64],
    failures: Failures,
) -> Graded:
    """Grade p rows. Worse counts at once, better one grade at a time and only `hold` after the latest change.

    Where a condition cannot be evaluated nothing improves, and a first grade is not better than what is in doubt.
    """
    to_b, to_c = rules.B.enter(columns), rules.C.enter(columns)
    from_b, from_c = rules.B.leave(columns), rules.C.leave(columns)
    doubt = np.zeros(len(columns), np.bool_)
    for name, truth in (("B.enter", to_b), ("B.leave", from_b), ("C.enter", to_c), ("C.leave", from_c)):
        if truth.bad is not None:
            failures.append((f"grades.{name}", truth.bad))
            doubt |= truth.bad
    before = standing["grade"]
    first = before == 0
    entered = np.where(to_c.true, C, np.where(to_b.true, B, A)).astype(np.uint8)
    grade = np.maximum(before, entered)
    grade = np.where(first, np.maximum(_doubted(to_c, C), np.maximum(_doubted(to_b, B), entered)), grade)
    held = time - standing["grade_changed"].astype(np.int64) >= rules.hold
    better = ~first & (grade == before) & held & ~doubt
    better &= ((before == C) & from_c.true & ~to_c.true) | ((before == B) & from_b.true & ~to_b.true)
    grade = np.where(better, before - better.astype(np.uint8), grade).astype(np.uint8)
    step = np.abs(probability - standing["published_probability"].astype(np.float64)) >= rules.score_step
    return Graded(grade, (grade != before) | step)


def _doubted(entering: Truth, grade: int) -> NDArray[np.uint8]:
    if entering.bad is None:
        return np.zeros(len(entering.true), np.uint8)
    return np.where(entering.bad, grade, 0).astype(np.uint8)


def announce(grade: int, warming: bool, reasons: list[Reason], row: Row) -> None:
    """Change the row's standing and leave the score change's draft."""
    standing = row.standing
    before = int(standing["grade"])
    previous = number(standing["published_probability"]) if before else None
    if grade != before:
        standing["grade"] = grade
        row.advance("grade_changed")
    standing["published_probability"] = row.value("default_probability")
    row.drafts.append(
        Draft(
            topic="score-changes",
            kind="score_change",
            rule="score",
            body={
                "default_probability": row.published("default_probability"),
                "spending_anomaly": row.published("spending_anomaly"),
                "grade": GRADES[grade - 1],
                "previous_probability": previous,
                "previous_grade": GRADES[before - 1] if before else None,
                "warming": warming,
                "reasons": reasons,
            },
            label=GRADES[grade - 1],
            outcome="same" if grade == before else "better" if grade < before else "worse",
        )
    )
