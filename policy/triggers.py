"""Triggers: which warnings a row raises, escalates or clears.

The columns (`assess`) decide; `announce` writes what was decided for one row.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.encoding import decision_id
from messages.outputs import SEVERITIES
from policy.columns import Columns
from policy.document import RANK, Document, Review, Trigger, Words
from policy.guardrails import Remaining
from policy.reasons import Draft as Reason
from policy.reasons import Statement, reason, statement
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
    says: tuple[Statement, ...]  # by severity, with the numbers of the level that this severity has
    over: tuple[Statement, ...]  # the same of the all-clear
    on_probability: bool  # what it says includes why the default probability is what it is

    @property
    def slot(self) -> int:
        """Its place in the user's record."""
        return self.notice.slot


class Table(NamedTuple):
    """The numbers of all triggers, a line each; `freezes` and `cuts` by severity."""

    line: NDArray[np.intp]  # [triggers, 1]: 0, 1, ...
    slot: NDArray[np.intp]
    cooldown: NDArray[np.int64]  # [triggers, 1], s
    freezes: NDArray[np.bool_]  # [triggers, 5]
    cuts: NDArray[np.bool_]  # [triggers, 5]


class Found(NamedTuple):
    """What the conditions of all triggers, a line each, came to in p rows."""

    severity: NDArray[np.uint8]  # that holds for certain; 0: none
    over: NDArray[np.bool_]  # `clear_when` holds for certain, or there is none
    bad: NDArray[np.bool_] | None = None  # something could not be evaluated; None: nowhere


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


def watches(document: Document) -> tuple[Watch, ...]:
    """The document's triggers made ready."""
    return tuple(
        Watch(
            trigger=trigger,
            notice=Notice(trigger.name, trigger.id - 1, trigger.action),
            freezes=_by_rank(trigger, "freeze"),
            cuts=_by_rank(trigger, "cut"),
            says=_statements(trigger, trigger.reason),
            over=_statements(trigger, _OVER),
            on_probability="default_probability" in {*trigger.evidence, *trigger.levels[0].when.names},
        )
        for trigger in document.triggers
    )


def _statements(trigger: Trigger, words: Words) -> tuple[Statement, ...]:
    levels = [
        next((level for level in reversed(trigger.levels) if RANK[level.severity] <= rank), trigger.levels[0])
        for rank in range(_RANKS)
    ]
    return tuple(
        statement(trigger.name, words, trigger.evidence or level.when.names, level.when.thresholds) for level in levels
    )


def _by_rank(trigger: Trigger, step: Literal["freeze", "cut"]) -> NDArray[np.bool_]:
    table = np.zeros(_RANKS, np.bool_)
    for level in trigger.levels:
        # A severity that another version of the policy left behind acts like the level below it.
        table[RANK[level.severity] :] = (level.limit or trigger.limit) == step
    return table


def table(ready: tuple[Watch, ...]) -> Table:
    """The numbers of the triggers that are ready."""
    return Table(
        np.arange(len(ready))[:, None],
        np.array([watch.slot for watch in ready], np.intp),
        np.array([watch.trigger.cooldown for watch in ready], np.int64)[:, None],
        np.array([watch.freezes for watch in ready], np.bool_).reshape(-1, _RANKS),
        np.array([watch.cuts for watch in ready], np.bool_).reshape(-1, _RANKS),
    )


def evaluate(ready: tuple[Watch, ...], columns: Columns) -> Found:
    """Work the conditions out, for p rows."""
    of_all = (len(ready), len(columns))
    severity, over, bad = np.zeros(of_all, np.uint8), np.ones(of_all, np.bool_), np.zeros(of_all, np.bool_)
    for line, watch in enumerate(ready):
        for level in watch.trigger.levels:
            truth = level.when(columns)
            severity[line, truth.true] = RANK[level.severity]
            bad[line] |= truth.doubt()
        if watch.trigger.clear_when is not None:
            truth = watch.trigger.clear_when(columns)
            over[line] = truth.true
            bad[line] |= truth.doubt()
    return Found(severity, over, bad)


def assess(
    ready: tuple[Watch, ...],
    table: Table,
    review: Review,
    found: Found,
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    rails: Remaining,
    failures: Failures,
) -> Moves:
    """Judge p rows; appends to `failures` which triggers could not be evaluated, where."""
    failed = np.zeros(len(time), np.bool_)
    if found.bad is not None:
        concerned = np.flatnonzero(found.bad.any(axis=1)).tolist()
        failures += [(ready[line].trigger.name, found.bad[line]) for line in concerned]
    for _, bad in failures:
        failed |= bad
    severities, since = standing["warning_severity"].T, standing["warning_since"].T
    before = severities[table.slot]
    moves, after = _moves(table, found, before, since[table.slot], time, rails)
    review_move, review_after = _review(review, failed, severities[review.id - 1], since[review.id - 1], time)
    move, severity = np.vstack([moves, review_move]), np.vstack([after, review_after])
    return Moves(
        move=move,
        severity=severity,
        moves=_any_line(move),
        worst=np.maximum.reduce(severity),
        freeze=_any_line(table.freezes[table.line, after]),
        cut=_any_line(table.cuts[table.line, after] & (after > before)),
        failed=failed,
    )


def _any_line(of_lines: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether any line is not 0: bool[p] of [lines, p]."""
    return np.asarray(np.logical_or.reduce(of_lines))


def _moves(
    table: Table,
    found: Found,
    before: NDArray[np.uint8],
    since: NDArray[np.uint32],
    time: NDArray[np.int64],
    rails: Remaining,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What all triggers do, and their severity after it: u1[triggers, p] each."""
    severity, over = found.severity, found.over & (found.severity == 0)
    if found.bad is not None:
        over &= ~found.bad
    over &= time - since.astype(np.int64) >= table.cooldown
    # The guard rail leaves the first so many of a row's lines, and never bounds critical ones.
    bounded = (before == 0) & (severity > 0) & (severity < _CRITICAL)
    earlier = np.cumsum(bounded, axis=0) - bounded
    may_raise = earlier < rails.warnings(np.arange(len(time)))
    return _move(severity, over, before, may_raise)


def _review(
    review: Review,
    failed: NDArray[np.bool_],
    before: NDArray[np.uint8],
    since: NDArray[np.uint32],
    time: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The same of the reserved review: u1[p] each."""
    if not failed.any() and not before.any():
        nothing = np.zeros(len(time), np.uint8)
        return nothing, nothing
    over = ~failed & (time - since.astype(np.int64) >= review.cooldown)
    severity = np.where(failed, RANK[review.severity], 0).astype(np.uint8)
    # What is left of the guard rail is not asked here: a failure must always be seen.
    return _move(severity, over, before, np.ones(len(time), np.bool_))


def _move(
    found: NDArray[np.uint8], may_close: NDArray[np.bool_], before: NDArray[np.uint8], may_raise: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What is done to warnings, and their severity after it; the guard rail never bounds critical ones."""
    is_open = before > 0
    raised = ~is_open & (found > 0) & (may_raise | (found >= _CRITICAL))
    escalated = is_open & (found > before)
    cleared = is_open & may_close
    severity = np.where(raised | escalated, found, np.where(cleared, 0, before)).astype(np.uint8)
    # At most one of the three is true.
    return raised * np.uint8(RAISED) + escalated * np.uint8(ESCALATED) + cleared * np.uint8(CLEARED), severity


def reasons(watch: Watch, status: int, rank: int, row: Row) -> list[Reason]:
    """What a warning of an ordinary trigger says about the row."""
    return [(watch.over if status == CLEARED else watch.says)[rank].of(row.features)]


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
