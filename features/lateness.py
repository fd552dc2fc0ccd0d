"""Kernels over due dates: days past due, and when a user wants to be looked at again."""

from typing import Any

from features.ledger import used_bills
from features.record import DAY
from features.tiles import U4_MAX
from messages.compiled import part, signed

NINETY_DAYS = 90 * DAY


@part
def unmet(r: Any, s: Any, j: int) -> bool:
    """True where bill j is issued, its minimum is not paid, and no later statement made that good."""
    return bool(j >= s.current and r.bills[j].issued != 0 and s.paid[j] < signed(r.bills[j].minimum))


@part
def days_late(r: Any, due: int, end: int) -> int:
    """Days begun from `due` to `end`, without the hardship pause; 0 where `end` is not later."""
    start, stop = signed(r.paused_from), signed(r.paused_until)
    paused = max(min(end, stop) - max(due, start), 0)
    return max((end - due - paused + DAY - 1) // DAY, 0)


@part
def days_past_due(r: Any, s: Any, t: int) -> int:
    """Days past due at `t` (s): days begun since the oldest due date that is unmet or in arrears; 0 where none is."""
    oldest = signed(r.arrears_due) if s.arrears > 0 else 0
    for j in range(used_bills(r)):
        due = signed(r.bills[j].due)
        if unmet(r, s, j) and due < t and (oldest == 0 or due < oldest):
            oldest = due
    return days_late(r, oldest, t) if oldest > 0 else 0


@part
def worst_days_past_due(r: Any, s: Any, t: int) -> int:
    """Most days past due that a kept bill reached which was late within the 90 days before `t`, and of `t` itself."""
    n = used_bills(r)
    worst = days_past_due(r, s, t)
    for j in range(n):
        bill = r.bills[j]
        due, minimum = signed(bill.due), signed(bill.minimum)
        if bill.issued == 0 or due >= t or s.by_due[j] >= minimum or unmet(r, s, j):
            continue
        end = s.last_paid[j]
        if s.paid[j] < minimum:
            for k in range(n - 1, j, -1):
                if r.bills[k].carries and r.bills[k].issued != 0 and s.paid[k] >= signed(r.bills[k].minimum):
                    end = max(s.last_paid[k], signed(r.bills[k].issued))
        if end > t - NINETY_DAYS:
            worst = max(worst, days_late(r, due, min(end, t)))
    return worst


@part
def next_timer(r: Any, s: Any, after: int, terms: Any) -> int:
    """The earliest time > `after` (s) at which the passing of time alone may matter; 0 where there is none.

    That is: an unmet bill reaching one of the terms' stages, the end of a pause, of an example's horizon, of retention.
    """
    earliest = U4_MAX + 1
    start, stop = signed(r.paused_from), signed(r.paused_until)
    for j in range(used_bills(r)):
        if not unmet(r, s, j):
            continue
        due = signed(r.bills[j].due)
        pause = max(start, due)
        for i in range(terms.stage_count):
            time = due + (terms.stages[i] - 1) * DAY + 1
            if time > pause and stop > pause:
                time += stop - pause
            if time > after:
                earliest = min(earliest, time)
                break
    if stop > after:
        earliest = min(earliest, stop)
    if r.example_opened != 0:
        time = signed(r.example_opened) + terms.horizon
        if time > after:
            earliest = min(earliest, time)
    if r.opened == 0 or r.closed != 0:
        time = signed(r.last_seen) + terms.retention
        if time > after:
            earliest = min(earliest, time)
    return earliest if earliest <= U4_MAX else 0
