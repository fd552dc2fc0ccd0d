"""Limits: opened, raised, cut, frozen, restored, closed, forgotten.

A limit that is lowered never falls below what is owed (nor is it lowered where more than it is owed already), and a
limit that is set never exceeds the policy's cap.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from messages.compiled import part
from messages.vocabulary import Kind
from policy.columns import Columns, finite_or
from policy.document import RANK, GuardRails, Limits
from policy.guardrails import Remaining, count
from policy.reasons import Draft as Reason
from policy.reasons import reason
from policy.row import Draft, Row, clamp
from policy.standing import CLOSED, FROZEN, OPEN
from policy.triggers import Failures, Moves
from policy.wording import WORDS

NONE, FREEZE, CUT, RESTORE, RAISE = 0, 1, 2, 3, 4
_ACCOUNT_OPENED = int(Kind.ACCOUNT_OPENED)
Direction = Literal["opened", "raised", "cut", "frozen", "restored", "closed", "forgotten"]


@dataclass(frozen=True, slots=True)
class Room:
    """What does not depend on the warnings: per row of p."""

    capacity: NDArray[np.float64]  # ability to pay in minor units; 0 where it is unknown
    raise_when: NDArray[np.bool_]
    restore_when: NDArray[np.bool_]


@dataclass(slots=True)
class Cause:
    """Why a limit is cut or frozen: the reasons of the warnings behind it, and the way back that the first names."""

    reasons: list[Reason] = field(default_factory=list)
    path_back: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The step (NONE ... RAISE, u1[p]) that the policy takes by itself, and the limit that it leads to (i8[p])."""

    step: NDArray[np.uint8]
    target: NDArray[np.int64]


def room(rules: Limits, columns: Columns, failures: Failures) -> Room:
    """Evaluate the expressions of the limit strategy; what cannot be evaluated permits nothing."""
    capacity = rules.ability_to_pay(columns)
    raising, restoring = rules.raise_.when(columns), rules.restore.when(columns)
    for name, value in (("ability_to_pay", capacity), ("raise.when", raising), ("restore.when", restoring)):
        if value.bad is not None:
            failures.append((f"limits.{name}", value.bad))
    return Room(np.maximum(finite_or(capacity, 0.0), 0.0), raising.true, restoring.true)


def plan(
    rules: Limits,
    columns: Columns,
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    moves: Moves,
    room: Room,
    left: Remaining,
) -> Plan:
    """Choose at most one step for each of p rows: freeze before cut before restore before raise."""
    step, target = np.zeros(len(columns), np.uint8), standing["limit"].astype(np.int64)
    thinkable = moves.freeze | moves.cut | room.raise_when | (standing["frozen"] == FROZEN)
    thinkable &= standing["limit_version"] > 0
    at = np.flatnonzero(thinkable)
    if len(at):
        step[at], target[at] = _steps(rules, columns, standing, time, moves, room, left, at)
    return Plan(step, target)


def _steps(
    rules: Limits,
    columns: Columns,
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    moves: Moves,
    room: Room,
    left: Remaining,
    at: NDArray[np.intp],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The steps of the rows `at`, whose limits are known."""
    limit, limit_cut, now = standing["limit"][at], standing["limit_cut"][at].astype(np.int64), time[at]
    owed = np.ceil(finite_or(columns["owed"], np.inf)[at])
    automatic = finite_or(columns["consents_to_automation"], 0.0)[at] > 0
    refused = rules.refused_automation
    is_open, is_frozen = standing["frozen"][at] == OPEN, standing["frozen"][at] == FROZEN
    since_change = now - standing["limit_changed"][at].astype(np.int64)

    freeze = is_open & moves.freeze[at] & (automatic | refused.freeze)
    lowered = whole_steps(limit * rules.cut.to_share, rules.round_to)
    lowered = np.maximum(np.maximum(lowered, owed), rules.cut.floor)
    cooled = (limit_cut == 0) | (now - limit_cut >= rules.cut.cooldown)
    cut = is_open & ~freeze & moves.cut[at] & (automatic | refused.cut)
    cut &= (lowered < limit) & cooled & (left.cuts(at) > 0)

    sure = ~moves.failed[at]
    restore = is_frozen & ~moves.freeze[at] & room.restore_when[at] & sure & (since_change >= rules.restore.cooldown)
    raised = raised_to(limit, rules.raise_.step_share, room.capacity[at], float(rules.cap), rules.round_to)
    grow = is_open & ~freeze & ~cut & room.raise_when[at] & sure & automatic
    grow &= (finite_or(columns["consents_to_increases"], 0.0)[at] > 0) & (left.raises(at) > 0)
    grow &= (moves.worst[at] < RANK[rules.raise_.unless_open]) & (raised >= limit + rules.raise_.smallest_step)
    grow &= since_change >= rules.raise_.cooldown

    step = np.select([freeze, cut, restore, grow], [FREEZE, CUT, RESTORE, RAISE], NONE).astype(np.uint8)
    before = np.minimum(standing["limit_before_freeze"][at], rules.cap)
    frozen = np.minimum(limit, owed)
    target = np.select([freeze, cut, restore, grow], [frozen, lowered, before, raised], limit)
    return step, target.astype(np.int64)


@part
def raised_to(limit: Any, share: float, capacity: Any, cap: float, step: float) -> Any:
    """Where a raise by `share` leads, at most: of columns here, of one row in `policy.screening`."""
    return whole_steps(np.minimum(np.minimum(limit * (1.0 + share), capacity), cap), step)


@part
def whole_steps(amount: Any, step: float) -> Any:
    """Rounded down to whole steps; 0.7 of 700,000 is 490,000 although its nearest float is a hair less."""
    return np.floor(amount / step + 1e-9) * step


def open_accounts(
    standing: NDArray[np.void],
    kind: NDArray[np.uint8],
    amount: NDArray[np.int64],
    time: NDArray[np.int64],
    cap: int,
) -> NDArray[np.bool_]:
    """Set the first limit of accounts that open in these rows, in place: STANDING[p]; returns which rows do."""
    opening: NDArray[np.bool_] = np.equal(kind, _ACCOUNT_OPENED)
    if opening.any():
        opening &= (standing["limit_version"] == 0) | (standing["frozen"] == CLOSED)
        limit = np.minimum(amount[opening], cap)
        standing["limit"][opening] = limit
        standing["starting_limit"][opening] = limit
        standing["limit_version"][opening] += 1
        standing["limit_changed"][opening] = np.maximum(standing["limit_changed"][opening], time[opening])
        standing["frozen"][opening] = OPEN
    return opening


def announce_opened(rules: Limits, asked: int, row: Row) -> None:
    """Leave the draft of a limit that `open_accounts` has set."""
    code = "account-opened" if asked <= rules.cap else "account-opened-capped"
    reasons = [reason(code, WORDS[code], row.features)]
    row.drafts.append(_adjustment(rules, "opened", 0, reasons, "", row))


def announce(rules: Limits, rails: GuardRails, step: int, target: int, cause: Cause, row: Row) -> None:
    """Take a planned step: change the row's standing and leave the draft."""
    standing, reasons, path_back = row.standing, cause.reasons, cause.path_back or rules.path_back
    direction: Direction
    if step == FREEZE:
        direction = "frozen"
        standing["limit_before_freeze"] = standing["limit"]
        standing["frozen"] = FROZEN
    elif step == CUT:
        direction = "cut"
        row.advance("limit_cut")
        count(rails, standing, row.time, "cuts")
    elif step == RESTORE:
        direction, path_back = "restored", ""
        standing["limit_before_freeze"] = 0
        standing["frozen"] = OPEN
        reasons = [reason("restored", rules.restore.reason, row.features, rules.restore.when.names)]
    else:
        direction, path_back = "raised", ""
        row.advance("limit_raised")
        count(rails, standing, row.time, "raises")
        reasons = [reason("raised", rules.raise_.reason, row.features, rules.raise_.when.names)]
    _change(rules, direction, target, reasons, path_back, row)


def announce_closed(rules: Limits, row: Row) -> None:
    """Close the account: nothing more can be bought, and what is owed stays."""
    if row.standing["limit_version"] == 0 or row.standing["frozen"] == CLOSED:
        return
    row.standing["frozen"] = CLOSED
    reasons = [reason("account-closed", WORDS["account-closed"], row.features, ("owed",))]
    _change(rules, "closed", min(int(row.standing["limit"]), row.amount("owed")), reasons, "", row)


def announce_forgotten(rules: Limits, row: Row) -> None:
    """Say that the user is being forgotten, so that whoever keeps a copy of the limit drops it too."""
    if row.standing["limit_version"]:
        _change(rules, "forgotten", 0, [reason("forgotten", WORDS["forgotten"], row.features)], "", row)


def grant(rules: Limits, rails: GuardRails, limit: int, reasons: list[Reason], row: Row) -> None:
    """Raise the limit because the user asked for it and may have it."""
    row.advance("limit_raised")
    count(rails, row.standing, row.time, "raises")
    _change(rules, "raised", limit, reasons, "", row)


def _change(rules: Limits, direction: Direction, new: int, reasons: list[Reason], path_back: str, row: Row) -> None:
    previous = int(row.standing["limit"])
    row.standing["limit"] = new
    row.standing["limit_version"] += 1
    row.advance("limit_changed")
    row.drafts.append(_adjustment(rules, direction, previous, reasons, path_back, row))


def _adjustment(
    rules: Limits, direction: Direction, previous: int, reasons: list[Reason], path_back: str, row: Row
) -> Draft:
    return Draft(
        topic="limit-adjustments",
        kind="limit_adjustment",
        rule=f"{direction}:{row.standing['limit_version']}",
        body={
            "direction": direction,
            "previous_limit": clamp(previous),
            "new_limit": clamp(int(row.standing["limit"])),
            "limit_version": int(row.standing["limit_version"]),
            "owed": row.amount("owed"),
            "grade": row.grade(),
            "default_probability": row.published("default_probability"),
            "reasons": reasons,
            "path_back": path_back,
            "notice_time": row.after(rules.notice),
            "review_time": row.after(rules.review_after),
        },
        label=direction,
        outcome=direction,
    )
