"""Limit requests: every one is answered, and nothing in doubt is answered by yes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.columns import Columns
from policy.document import RANK, GuardRails, Limits
from policy.limits import grant
from policy.reasons import reason
from policy.row import Draft, Row, clamp
from policy.standing import CLOSED, FROZEN
from policy.triggers import Failures
from policy.wording import WORDS

_GRADES = {"B": 2, "C": 3}


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where the policy wants a person to answer a request, or to decline it: bool[p] each."""

    review: NDArray[np.bool_]
    decline: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Request:
    """One limit request with what bounds the answer, in minor units."""

    reference: str
    asked: int
    capacity: float
    worst_open: int
    failed: bool
    review: bool
    decline: bool
    raises_left: int


def assess(rules: Limits, columns: Columns, failures: Failures) -> Wishes:
    """Evaluate the policy's conditions on p rows."""
    masks = []
    for name, when in (("review_when", rules.requests.review_when), ("decline_when", rules.requests.decline_when)):
        if when is None:
            masks.append(np.zeros(len(columns), np.bool_))
            continue
        truth = when(columns)
        masks.append(truth.true)
        if truth.bad is not None:
            failures.append((f"limits.requests.{name}", truth.bad))
    return Wishes(*masks)


def answer(rules: Limits, rails: GuardRails, request: Request, row: Row) -> None:
    """Answer one request: leaves the draft of the answer, before it that of a raise where there is one."""
    limit = int(row.standing["limit"])
    outcome, code, approved = _outcome(rules, request, row, limit)
    evidence = WORDS_EVIDENCE.get(code, ())
    reasons = [reason(code, WORDS[code], row.features, evidence)]
    if outcome in ("approved", "partly_approved") and approved > limit:
        grant(rules, rails, approved, reasons, row)
    row.drafts.append(
        Draft(
            topic="limit-decisions",
            kind="limit_decision",
            rule="request",
            body={
                "request_id": request.reference,
                "outcome": outcome,
                "requested_limit": clamp(request.asked),
                "approved_limit": clamp(approved),
                "limit_version": int(row.standing["limit_version"]),
                "reasons": reasons,
            },
            label=code,
            outcome=outcome,
        )
    )


def _outcome(rules: Limits, request: Request, row: Row, limit: int) -> tuple[str, str, int]:
    """Outcome, reason code and approved limit."""
    refused = _refusal(rules, request, row, limit)
    if refused is not None:
        return (*refused, limit)
    most = min(request.capacity, float(rules.cap))
    if request.asked <= most:
        return "approved", "within-ability-to-pay", request.asked
    binding = "absolute-cap" if rules.cap <= request.capacity else "ability-to-pay"
    possible = int(most // rules.round_to) * rules.round_to
    if possible > limit:
        return "partly_approved", binding, possible
    return "declined", binding, limit


def _refusal(rules: Limits, request: Request, row: Row, limit: int) -> tuple[str, str] | None:
    """Outcome and reason code of what keeps a request from being approved by itself, the gravest first."""
    standing, asks = row.standing, rules.requests
    if standing["limit_version"] == 0 or standing["frozen"] == CLOSED:
        return "declined", "no-account"
    if row.value("consents_to_automation") == 0:
        return "review", "automation-refused"
    if standing["frozen"] == FROZEN:
        return "declined", "frozen"
    if request.failed:
        return "review", "evaluation-error"
    if request.asked <= limit:
        return "approved", "within-limit"
    if request.worst_open >= RANK[asks.decline_open]:
        return "declined", "open-warning"
    if int(standing["grade"]) >= _GRADES[asks.decline_grade]:
        return "declined", "grade"
    if request.decline:
        return "declined", "policy"
    if request.review:
        return "review", "review"
    recently = int(standing["limit_raised"]) and row.time - int(standing["limit_raised"]) < asks.cooldown
    if recently or request.raises_left <= 0:
        return "declined", "changed-recently"
    return None


WORDS_EVIDENCE: dict[str, tuple[str, ...]] = {
    "within-ability-to-pay": ("income_estimate", "owed"),
    "within-limit": ("limit",),
    "ability-to-pay": ("income_estimate", "owed", "cash_due_30d"),
    "absolute-cap": ("limit",),
    "grade": ("default_probability",),
    "changed-recently": ("days_since_limit_change",),
}
