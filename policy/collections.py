"""Collections: which step a late account is at, and when a person may be contacted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.record import DAY, HOUR
from policy.columns import Columns, finite_or
from policy.document import Collections, Contact
from policy.reasons import reason
from policy.row import Draft, Row, clamp
from policy.triggers import Failures

_MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Steps:
    """The step (index + 1; 0: none) of each of p rows after it (u1), and whether it moved (bool)."""

    step: NDArray[np.uint8]
    moved: NDArray[np.bool_]


def assess(rules: Collections, columns: Columns, standing: NDArray[np.void], failures: Failures) -> Steps:
    """Find the step of p rows: it only grows while something is overdue, and is over when nothing is."""
    days = finite_or(columns["days_past_due"], np.inf)
    overdue = finite_or(columns["overdue_amount"], np.inf)
    reached = np.zeros(len(columns), np.uint8)
    for position, step in enumerate(rules.steps, start=1):
        due = (days >= step.from_days) & (days < np.inf)
        if step.when is not None:
            truth = step.when(columns)
            due &= truth.true
            if truth.bad is not None:
                failures.append((f"collections.{step.name}", truth.bad))
        reached[due] = position
    before = standing["collection_step"]
    current = (days <= 0) & (overdue <= 0)
    step_after = np.where(current, 0, np.maximum(before, reached)).astype(np.uint8)
    return Steps(step_after, step_after != before)


def announce(rules: Collections, step: int, utc_offset: int, row: Row) -> None:
    """Change the row's standing and leave the collection action's draft."""
    standing = row.standing
    before = int(standing["collection_step"])
    if step == 0:
        name = rules.steps[before - 1].name if before <= len(rules.steps) else "collection"
        action, words, contact = "stop", rules.stop, row.time
    else:
        rule = rules.steps[step - 1]
        name, action, words = rule.name, rule.action, rule.reason
        contact = row.time
        if rule.contact:
            since = int(standing["collection_changed"])
            earliest = max(row.time, since + rules.contact.gap) if since else row.time
            contact = earliest_contact(rules.contact, earliest, utc_offset)
    standing["collection_step"] = step
    standing["collection_changed"] = max(int(standing["collection_changed"]), contact)
    row.drafts.append(
        Draft(
            topic="collection-actions",
            kind="collection_action",
            rule=f"{name}:{action}",
            body={
                "step": name,
                "action": action,
                "days_past_due": min(clamp(row.value("days_past_due")), _MOST_DAYS),
                "overdue_amount": row.amount("overdue_amount"),
                "earliest_contact": row.after(contact - row.time),
                "reasons": [reason(name, words, row.features, ("days_past_due", "overdue_amount"))],
            },
            label=name,
            outcome=action,
        )
    )


def earliest_contact(contact: Contact, time: int, utc_offset: int) -> int:
    """The first second from `time` on (s, UTC) that lies within the local contact hours."""
    local = time + utc_offset
    of_day = local % DAY
    if of_day < contact.from_hour * HOUR:
        return time + contact.from_hour * HOUR - of_day
    if of_day >= contact.until_hour * HOUR:
        return time + DAY + contact.from_hour * HOUR - of_day
    return time
