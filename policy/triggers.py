"""Triggers: which warnings a row raises, escalates or clears.

The columns (`assess`) decide; `announce` writes what was decided for one row.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.encoding import decision_id
from messages.outputs import SEVERITIES
from policy.document import RANK, Document, Level, Review, Trigger, Words
from policy.expressions import Bad, Columns
from policy.reasons import Draft as Reason
from policy.reasons import reason
from policy.row import Draft, Row

RAISED, ESCALATED, CLEARED = 1, 2, 3
_STATUS = {RAISED: "raised", ESCALATED: "escalated", CLEARED: "cleared"}
_RANKS = len(SEVERITIES) + 1
_CRITICAL = RANK["critical"]
_OVER = Words(en="The condition no longer holds.", zh="触发条件已不再成立。")

#: Rows in which a part of the policy could not be evaluated, with the name of that part.
Failures = list[tuple[str, NDArray[np.bool_]]]


class Notice(NamedTuple):
    """Who warns: an ordinary trigger, or the reserved review."""

    name: str
    slot: int
    action: str


@dataclass(frozen=True, slots=True)
class Watch:
    """A trigger made ready: `freezes` and `cuts` say by severity (bool[5]) what an open warning does to the limit."""

    trigger: Trigger
    notice: Notice
    freezes: NDArray[np.bool_]
    cuts: NDArray[np.bool_]
    levels: tuple[Level, ...]  # by severity: the one whose numbers a warning shows
    on_probability: bool  # what it says includes why the default probability is what it is

    @property
    def slot(self) -> int:
        """Its place in the user's record."""
        return self.notice.slot


@dataclass(frozen=True, slots=True)
class Moves:
    """What a round's rows do to warnings; every member has p rows, the matrices one line per trigger, review last."""

    move: NDArray[np.uint8]  # [triggers + 1, p]: 0, RAISED, ESCALATED or CLEARED
    severity: NDArray[np.uint8]  # [triggers + 1, p]: of the warning after the row; 0: closed
    worst: NDArray[np.uint8]  # greatest severity open after the row
    freeze: NDArray[np.bool_]  # a warning open after the row freezes the limit
    cut: NDArray[np.bool_]  # a warning raised or escalated in the row cuts it
    failed: NDArray[np.bool_]  # something could not be evaluated


def watches(document: Document) -> tuple[Watch, ...]:
    """The document's triggers made ready."""
    return tuple(
        Watch(
            trigger=trigger,
            notice=Notice(trigger.name, trigger.id - 1, trigger.action),
            freezes=_by_rank(trigger, "freeze"),
            cuts=_by_rank(trigger, "cut"),
            levels=tuple(
                next((one for one in reversed(trigger.levels) if RANK[one.severity] <= rank), trigger.levels[0])
                for rank in range(_RANKS)
            ),
            on_probability="default_probability" in {*trigger.evidence, *trigger.levels[0].when.names},
        )
        for trigger in document.triggers
    )


def _by_rank(trigger: Trigger, step: Literal["freeze", "cut"]) -> NDArray[np.bool_]:
    table = np.zeros(_RANKS, np.bool_)
    for level in trigger.levels:
        # A severity that another version of the policy left behind acts like the level below it.
        table[RANK[level.severity] :] = (level.limit or trigger.limit) == step
    return table


def assess(
    ready: tuple[Watch, ...],
    review: Review,
    columns: Columns,
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    warnings_left: NDArray[np.int64],
    failures: Failures,
) -> Moves:
    """Judge p rows; appends to `failures` which triggers could not be evaluated, where."""
    rows = len(columns)
    move = np.zeros((len(ready) + 1, rows), np.uint8)
    severity = np.zeros((len(ready) + 1, rows), np.uint8)
    freeze, cut = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    left = warnings_left.copy()
    before = np.ascontiguousarray(standing["warning_severity"].T)
    for line, watch in enumerate(ready):
        slot, trigger = watch.slot, watch.trigger
        found, over, bad = _evaluate(trigger, columns)
        if bad is not None:
            failures.append((trigger.name, bad))
        if not found.any() and not before[slot].any():
            continue
        age = time - standing["warning_since"][:, slot].astype(np.int64)
        _move(move[line], severity[line], found, over & (age >= trigger.cooldown), before[slot], left)
        freeze |= watch.freezes[severity[line]]
        cut |= watch.cuts[severity[line]] & ((move[line] == RAISED) | (move[line] == ESCALATED))
    failed = np.zeros(rows, np.bool_)
    for _, bad in failures:
        failed |= bad
    slot = review.id - 1
    if failed.any() or before[slot].any():
        found = np.where(failed, RANK[review.severity], 0).astype(np.uint8)
        age = time - standing["warning_since"][:, slot].astype(np.int64)
        # What is left of the guard rail is not asked here: a failure must always be seen.
        _move(move[-1], severity[-1], found, ~failed & (age >= review.cooldown), before[slot], np.ones(rows, np.int64))
    return Moves(move, severity, severity.max(axis=0), freeze, cut, failed)


def _evaluate(trigger: Trigger, columns: Columns) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Bad]:
    """Severity that holds for sure (0: none), where the trigger is over for sure, and where it is in error."""
    found = np.zeros(len(columns), np.uint8)
    bad: Bad = None
    for level in trigger.levels:
        truth = level.when(columns)
        found[truth.true] = RANK[level.severity]
        if truth.bad is not None:
            bad = truth.bad if bad is None else bad | truth.bad
    over = found == 0
    if trigger.clear_when is not None:
        truth = trigger.clear_when(columns)
        over &= truth.true
        if truth.bad is not None:
            bad = truth.bad if bad is None else bad | truth.bad
    if bad is not None:
        over &= ~bad
    return found, over, bad


def _move(
    move: NDArray[np.uint8],
    severity: NDArray[np.uint8],
    found: NDArray[np.uint8],
    may_close: NDArray[np.bool_],
    before: NDArray[np.uint8],
    left: NDArray[np.int64],
) -> None:
    """Fill one trigger's line of `move` and `severity`; takes what it raises off `left`."""
    is_open = before > 0
    raised = ~is_open & (found > 0)
    bounded = raised & (found < _CRITICAL)
    raised &= ~bounded | (left > 0)
    left -= raised & bounded
    escalated = is_open & (found > before)
    cleared = is_open & may_close
    severity[:] = np.where(raised | escalated, found, np.where(cleared, 0, before))
    move[raised] = RAISED
    move[escalated] = ESCALATED
    move[cleared] = CLEARED


def reasons(watch: Watch, status: int, rank: int, row: Row) -> list[Reason]:
    """What a warning of an ordinary trigger says about the row."""
    trigger, when = watch.trigger, watch.levels[rank].when
    words = _OVER if status == CLEARED else trigger.reason
    return [reason(trigger.name, words, row.features, trigger.evidence or when.names, when.thresholds)]


def review_notice(review: Review) -> Notice:
    """The reserved review as one who warns."""
    return Notice("review", review.id - 1, review.action)


def review_reasons(review: Review, status: int, failed: list[str], row: Row) -> list[Reason]:
    """What the reserved review says: the parts of the policy that could not be evaluated."""
    words = review.reason if status != CLEARED else _OVER
    return [
        reason("evaluation-error", words, row.features),
        *(
            {
                "code": f"evaluation-error:{name}",
                "en": f"{name} could not be evaluated.",
                "zh": f"{name} 无法计算。",
                "evidence": [],
            }
            for name in failed
        ),
    ]


def announce(notice: Notice, status: int, rank: int, reasons: list[Reason], warming: bool, row: Row) -> None:
    """Change the row's standing and leave the warning's draft. The grade is the one after the row."""
    since, severity = row.standing["warning_since"], row.standing["warning_severity"]
    opened = int(since[notice.slot])
    if status == RAISED:
        # One second after the last all-clear at least, so that no two warnings of a trigger share their id.
        opened = max(row.time, opened + 1)
        since[notice.slot] = opened
    shown = rank
    if status == CLEARED:
        shown = int(severity[notice.slot])
        since[notice.slot] = max(row.time, opened)
    severity[notice.slot] = rank if status != CLEARED else 0
    row.drafts.append(
        Draft(
            topic="warnings",
            kind="warning",
            rule=f"{notice.name}:{_STATUS[status]}",
            body={
                "status": _STATUS[status],
                "warning_id": decision_id("warning-id", notice.name, row.user, opened),
                "trigger": notice.name,
                "severity": SEVERITIES[shown - 1],
                "default_probability": row.published("default_probability"),
                "spending_anomaly": row.published("spending_anomaly"),
                "grade": row.grade(),
                "warming": warming,
                "reasons": reasons,
                "recommended_action": notice.action,
            },
            label=notice.name,
            outcome=_STATUS[status],
        )
    )
