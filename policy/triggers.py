"""Triggers: which warnings a row raises, escalates or clears.

The columns (`assess`) decide; `announce` writes what was decided for one row.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.encoding import decision_id
from messages.outputs import SEVERITIES
from policy.columns import Bad, Columns, either
from policy.document import RANK, Document, Level, Review, Trigger, Words
from policy.guardrails import Remaining
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
    moves: NDArray[np.bool_]  # a warning is raised, escalated or cleared in the row
    worst: NDArray[np.uint8]  # greatest severity open after the row
    freeze: NDArray[np.bool_]  # a warning open after the row freezes the limit
    cut: NDArray[np.bool_]  # a warning raised or escalated in the row cuts it
    failed: NDArray[np.bool_]  # something could not be evaluated

    @staticmethod
    def none(lines: int, rows: int) -> "Moves":
        """Nothing moves, nothing is open."""
        of_lines, of_rows = (lines, rows), rows
        return Moves(
            np.zeros(of_lines, np.uint8),
            np.zeros(of_lines, np.uint8),
            np.zeros(of_rows, np.bool_),
            np.zeros(of_rows, np.uint8),
            np.zeros(of_rows, np.bool_),
            np.zeros(of_rows, np.bool_),
            np.zeros(of_rows, np.bool_),
        )

    def enter(self, line: int, at: NDArray[np.intp], move: NDArray[np.uint8], severity: NDArray[np.uint8]) -> None:
        """Note what one trigger does in the rows `at`."""
        self.move[line, at] = move
        self.severity[line, at] = severity
        self.moves[at] |= move > 0
        self.worst[at] = np.maximum(self.worst[at], severity)


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
    rails: Remaining,
    failures: Failures,
) -> Moves:
    """Judge p rows; appends to `failures` which triggers could not be evaluated, where."""
    moves = Moves.none(len(ready) + 1, len(columns))
    raised = np.zeros(len(columns), np.int64)  # of those that the guard rail bounds
    severity = np.ascontiguousarray(standing["warning_severity"])
    is_open = np.any(severity, axis=0)
    for line, watch in enumerate(ready):
        trigger, slot = watch.trigger, watch.slot
        found, cleared, bad = _evaluate(trigger, columns)
        if bad is not None:
            failures.append((trigger.name, bad))
        if found is None and not is_open[slot]:
            continue
        # Of most triggers few rows are concerned: what is left to do is done for these alone.
        at = np.flatnonzero(severity[:, slot] if found is None else found | severity[:, slot])
        found_here = np.zeros(len(at), np.uint8) if found is None else found[at]
        over = found_here == 0
        if cleared is not None:
            over &= cleared[at]
        if bad is not None:
            over &= ~bad[at]
        over &= _waited(trigger.cooldown, slot, standing, time, at)
        left = rails.warnings(at) - raised[at]
        move, after = _move(found_here, over, severity[at, slot], left > 0)
        raised[at] += (move == RAISED) & (after < _CRITICAL)
        moves.enter(line, at, move, after)
        moves.freeze[at] |= watch.freezes[after]
        moves.cut[at] |= watch.cuts[after] & ((move == RAISED) | (move == ESCALATED))
    for _, bad in failures:
        moves.failed[bad] = True
    _assess_review(review, severity, standing, time, moves)
    return moves


def _assess_review(
    review: Review, severity: NDArray[np.uint8], standing: NDArray[np.void], time: NDArray[np.int64], moves: Moves
) -> None:
    slot = review.id - 1
    at = np.flatnonzero(moves.failed | (severity[:, slot] > 0))
    if not len(at):
        return
    failed = moves.failed[at]
    over = ~failed & _waited(review.cooldown, slot, standing, time, at)
    found = np.where(failed, RANK[review.severity], 0).astype(np.uint8)
    # What is left of the guard rail is not asked here: a failure must always be seen.
    moves.enter(-1, at, *_move(found, over, severity[at, slot], np.ones(len(at), np.bool_)))


def _evaluate(trigger: Trigger, columns: Columns) -> tuple[NDArray[np.uint8] | None, NDArray[np.bool_] | None, Bad]:
    """Severity that holds for sure (None: nowhere one), where `clear_when` does (None: not asked), and errors."""
    found: NDArray[np.uint8] | None = None
    bad: Bad = None
    for level in trigger.levels:
        truth = level.when(columns)
        bad = either(bad, truth.bad)
        if np.count_nonzero(truth.true):
            found = np.zeros(len(columns), np.uint8) if found is None else found
            found[truth.true] = RANK[level.severity]
    if trigger.clear_when is None:
        return found, None, bad
    truth = trigger.clear_when(columns)
    return found, truth.true, either(bad, truth.bad)


def _waited(
    cooldown: int, slot: int, standing: NDArray[np.void], time: NDArray[np.int64], at: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Where the warning has been open for long enough to be cleared."""
    return np.asarray(time[at] - standing["warning_since"][at, slot].astype(np.int64) >= cooldown)


def _move(
    found: NDArray[np.uint8], may_close: NDArray[np.bool_], before: NDArray[np.uint8], may_raise: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What one trigger does in some rows, and its severity after them; the guard rail never bounds critical ones."""
    is_open = before > 0
    raised = ~is_open & (found > 0) & (may_raise | (found >= _CRITICAL))
    escalated = is_open & (found > before)
    cleared = is_open & may_close
    severity = np.where(raised | escalated, found, np.where(cleared, 0, before)).astype(np.uint8)
    move = np.zeros(len(found), np.uint8)
    move[raised] = RAISED
    move[escalated] = ESCALATED
    move[cleared] = CLEARED
    return move, severity


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
