"""Kernels over the ledger: bills, payments and what falls out of the kept ones.

The six bills with the greatest (due, hash) are kept. A bill known only from a repayment or a reschedule is a
placeholder (issued 0) until its statement comes; unless rescheduled it is ordered by the newest time it was named at.
What falls out leaves its history, and its unpaid or overpaid rest in `arrears` or `credit` (nothing when a later
statement carries it). Both only grow; they are set off against each other when read, so order does not matter.

Order matters only outside of what a healthy book does: a repayment that names a bill after six later ones, one that
arrives before its bill was issued and after another one paid past its due date, and a statement issued twice.
"""

from typing import Annotated, Any

import numpy as np

from features.record import BILL, BILLS, CATEGORY_COUNT, DAY, RECORD, UNASSIGNED
from features.tiles import U2_MAX, U4_MAX
from messages.columns import FLAG_CARRIES_BALANCE
from messages.compiled import Row, joint, part, signed

#: Scratch of one reading: what counts as paid for each bill, and what is left over; mixes of categories.
SCRATCH = np.dtype(
    [
        ("paid", "i8", (BILLS,)),
        ("by_due", "i8", (BILLS,)),
        ("last_paid", "i8", (BILLS,)),
        ("pool", "i8", (UNASSIGNED,)),
        ("credit", "i8"),  # negative where reversals took back more than was paid
        ("arrears", "i8"),
        ("carrying", "i8"),  # index of the latest bill that carries the balance; -1: none
        ("current", "i8"),  # bills before this index were made good by a later statement that carries and is met
        ("spare", BILL, (1,)),
        ("recent", "i8", (CATEGORY_COUNT,)),
        ("earlier", "i8", (CATEGORY_COUNT,)),
    ],
    align=True,
)

EARLY = 3 * DAY
#: Lead days of one bill count within these bounds; a bill that fell out without any payment counts as the lower one.
LEAD_DAYS_MAX = 180


@part
def _before(a: Any, b: Any) -> bool:
    return bool(a.due < b.due or (a.due == b.due and a.bill < b.bill))


@part
def used_bills(r: Any) -> int:
    """Number of bills kept; they fill the slots from 0."""
    n = 0
    while n < BILLS and r.bills[n].bill != 0:
        n += 1
    return n


@part
def _settle_in_order(r: Any, s: Any, j: int, n: int) -> None:
    """Move bill j, whose due time may have changed, to its place among the n sorted bills."""
    s.spare[0] = r.bills[j]
    while j > 0 and _before(s.spare[0], r.bills[j - 1]):
        r.bills[j] = r.bills[j - 1]
        j -= 1
    while j < n - 1 and _before(r.bills[j + 1], s.spare[0]):
        r.bills[j] = r.bills[j + 1]
        j += 1
    r.bills[j] = s.spare[0]


@part
def lead_days(due: int, last_paid: int) -> int:
    """Whole days, floored, from the last payment to the due date, within -180 to 180."""
    return max(-LEAD_DAYS_MAX, min(LEAD_DAYS_MAX, (due - last_paid) // DAY))


@part
def _fall_out(r: Any, bill: Any, paid: int, by_due: int, last_paid: int) -> None:
    """Keep the history and the rest of a bill that is no longer kept; `paid` etc. are what counted for it."""
    carried = False
    for j in range(BILLS):
        carried = carried or (r.bills[j].bill != bill.bill and r.bills[j].carries != 0)
    if not carried:
        rest = signed(bill.amount) - bill.paid
        if rest > 0:
            r.arrears += rest
            due = signed(bill.due)
            r.arrears_due = due if r.arrears_due == 0 else min(due, signed(r.arrears_due))
        else:
            r.credit -= rest
    if bill.issued == 0 or bill.amount == 0:
        return
    amount, minimum, first_due = signed(bill.amount), signed(bill.minimum), signed(bill.first_due)
    r.past_bills = min(signed(r.past_bills) + 1, U2_MAX)
    if by_due >= minimum:
        r.past_on_time = min(signed(r.past_on_time) + 1, U2_MAX)
    if minimum <= paid < amount:
        r.past_minimum_only = min(signed(r.past_minimum_only) + 1, U2_MAX)
    if paid >= amount and 0 < last_paid <= first_due - EARLY:
        r.past_early = min(signed(r.past_early) + 1, U2_MAX)
    r.past_lead_days += lead_days(first_due, last_paid) if last_paid > 0 else -LEAD_DAYS_MAX


@part
def _slot(r: Any, s: Any, bill: int, key_time: int) -> int:
    """Index of the bill with hash `bill`; a placeholder is made where it is not kept, -1 where it falls out at once."""
    n = used_bills(r)
    for j in range(n):
        if r.bills[j].bill == bill:
            return j
    if n == BILLS:
        first = r.bills[0]
        if key_time < first.due or (key_time == first.due and bill < first.bill):
            return -1
        settle(r, s)
        s.spare[0] = r.bills[0]
        for j in range(BILLS - 1):
            r.bills[j] = r.bills[j + 1]
        _clear(r.bills[BILLS - 1])
        n -= 1
        _fall_out(r, s.spare[0], s.paid[0], s.by_due[0], s.last_paid[0])
    _clear(r.bills[n])
    r.bills[n].bill = bill
    r.bills[n].due = key_time
    return n


@part
def _clear(bill: Any) -> None:
    bill.bill = 0
    bill.issued = 0
    bill.due = 0
    bill.first_due = 0
    bill.agreed = 0
    bill.last_paid = 0
    bill.amount = 0
    bill.minimum = 0
    bill.paid = 0
    bill.paid_by_due = 0
    bill.carries = 0


@part
def _agree(bill: Any, time: int, due: int) -> None:
    """Take over the due date agreed at `time` if it is the newest agreement."""
    if time > bill.agreed or (time == bill.agreed and due > bill.due):
        bill.agreed = time
        bill.due = due


@part
def issue(r: Any, s: Any, event: Any) -> None:
    """Enter a statement. Issued twice, its newest content counts (punctuality keeps the due date that came first)."""
    time, due = event.time, event.until
    amount, minimum = min(event.amount, U4_MAX), min(event.minimum, U4_MAX)
    carries = 1 if event.flags & FLAG_CARRIES_BALANCE else 0
    j = _slot(r, s, event.bill, due)
    if j < 0:
        _clear(s.spare[0])
        bill = s.spare[0]
        bill.bill = event.bill
        _state(bill, time, due, amount, minimum, carries)
        _fall_out(r, bill, 0, 0, 0)
        return
    bill = r.bills[j]
    if bill.issued == 0:
        bill.paid_by_due = bill.paid if bill.last_paid <= due else 0
        _state(bill, time, due, amount, minimum, carries)
    elif time > bill.issued or (
        time == bill.issued and (amount > bill.amount or (amount == bill.amount and minimum > bill.minimum))
    ):
        first_due = bill.first_due
        _state(bill, time, due, amount, minimum, carries)
        bill.first_due = first_due
    else:
        _agree(bill, time, due)
    _settle_in_order(r, s, j, used_bills(r))


@part
def _state(bill: Any, time: int, due: int, amount: int, minimum: int, carries: int) -> None:
    bill.issued = time
    bill.first_due = due
    bill.amount = amount
    bill.minimum = minimum
    bill.carries = carries
    _agree(bill, time, due)


@part
def reschedule(r: Any, s: Any, event: Any) -> None:
    """Enter a new due date; of a bill that is not kept any more it says nothing."""
    j = _slot(r, s, event.bill, event.until)
    if j >= 0:
        _agree(r.bills[j], event.time, event.until)
        _settle_in_order(r, s, j, used_bills(r))


@part
def pay(r: Any, s: Any, event: Any, amount: int) -> None:
    """Enter a repayment, or with a negative `amount` a reversal."""
    time = event.time
    if event.bill == 0:
        _pay_unassigned(r, time, amount)
        return
    j = _slot(r, s, event.bill, time)
    if j < 0:
        r.credit += amount
        return
    bill = r.bills[j]
    bill.paid += amount
    if bill.issued == 0 or time <= bill.first_due:
        bill.paid_by_due += amount
    if amount > 0:
        bill.last_paid = max(time, signed(bill.last_paid))
    if bill.agreed == 0:
        bill.due = max(time, signed(bill.due))
        _settle_in_order(r, s, j, used_bills(r))


@part
def _pay_unassigned(r: Any, time: int, amount: int) -> None:
    """Insert into the log sorted by (time, amount); the oldest falls out into `credit`."""
    log = r.unassigned
    n = 0
    while n < UNASSIGNED and log[n].time != 0:
        n += 1
    if n == UNASSIGNED:
        if time < log[0].time or (time == log[0].time and amount <= log[0].amount):
            r.credit += amount
            return
        r.credit += log[0].amount
        n -= 1
        for j in range(n):
            log[j] = log[j + 1]
    j = n
    while j > 0 and (time < log[j - 1].time or (time == log[j - 1].time and amount < log[j - 1].amount)):
        log[j] = log[j - 1]
        j -= 1
    log[j].time = time
    log[j].amount = amount


@joint
def settle(r: Annotated[Any, Row(RECORD)], s: Annotated[Any, Row(SCRATCH)]) -> None:
    """Work out into `s` what counts as paid: payments without a bill are spread in order of time.

    A reversal without a bill first cancels the newest such payments before it. A payment goes to the latest carrying
    statement issued by then; else to arrears, then to the bills issued by then, oldest due first. The rest is credit.
    Payments that name no known bill count against arrears too, else they are credit until their bill is known.
    Where no statement carries the balance, other credit covers bills, oldest due first: what fell out of the log those
    issued before the log begins, as if paid by then, and what is left at the end the later ones, from their issue on.
    """
    n = used_bills(r)
    s.carrying = -1
    credit, unknown = signed(r.credit), 0
    for j in range(n):
        bill = r.bills[j]
        s.paid[j] = bill.paid
        s.by_due[j] = bill.paid_by_due
        s.last_paid[j] = signed(bill.last_paid)
        if bill.issued == 0:
            unknown += bill.paid
        elif bill.carries:
            s.carrying = j
    credit += unknown
    net = signed(r.arrears) - credit
    s.arrears = min(max(net, 0), signed(r.arrears)) if s.carrying < 0 else 0
    s.credit = s.arrears - net if s.carrying < 0 else credit
    entries = _cancel_reversed(r, s)
    if s.carrying < 0:
        begins = signed(r.unassigned[0].time)
        _cover(r, s, n, unknown, begins, begins)
    _spread(r, s, n, entries)
    if s.carrying < 0:
        _cover(r, s, n, unknown, U4_MAX, 0)
    s.current = 0
    for j in range(n):
        bill = r.bills[j]
        if bill.issued != 0 and bill.carries and s.paid[j] >= signed(bill.minimum):
            s.current = j


@part
def _cancel_reversed(r: Any, s: Any) -> int:
    """Number of logged payments; `s.pool` gets what reversals left of each."""
    entries = 0
    while entries < UNASSIGNED and r.unassigned[entries].time != 0:
        s.pool[entries] = r.unassigned[entries].amount
        if s.pool[entries] < 0:
            for k in range(entries - 1, -1, -1):
                taken = min(s.pool[k], -s.pool[entries])
                s.pool[k] -= taken
                s.pool[entries] += taken
            s.credit += s.pool[entries]
            s.pool[entries] = 0
        entries += 1
    return entries


@part
def _cover(r: Any, s: Any, n: int, unknown: int, issued_by: int, paid_at: int) -> None:
    """Let credit, but for money that names unknown bills, pay bills issued by then, at `paid_at` if that fits."""
    left = s.credit - max(unknown, 0)
    for j in range(n):
        bill = r.bills[j]
        taken = min(left, signed(bill.amount) - s.paid[j])
        if bill.issued != 0 and signed(bill.issued) <= issued_by and taken > 0:
            _count(r, s, j, taken, max(signed(bill.issued), min(signed(bill.first_due), paid_at)))
            s.credit -= taken
            left -= taken


@part
def _spread(r: Any, s: Any, n: int, entries: int) -> None:
    for i in range(entries):
        left, time = s.pool[i], signed(r.unassigned[i].time)
        if left == 0:
            continue
        target = -1
        for j in range(n):
            bill = r.bills[j]
            if bill.carries and bill.issued != 0 and signed(bill.issued) <= time:
                target = j
        if target >= 0:
            _count(r, s, target, left, time)
            continue
        taken = min(left, s.arrears)
        s.arrears -= taken
        left -= taken
        for j in range(n):
            bill = r.bills[j]
            if bill.issued != 0 and signed(bill.issued) <= time:
                taken = max(min(left, signed(bill.amount) - s.paid[j]), 0)
                if taken > 0:
                    _count(r, s, j, taken, time)
                    left -= taken
        s.credit += left


@part
def _count(r: Any, s: Any, j: int, amount: int, time: int) -> None:
    s.paid[j] += amount
    if time <= signed(r.bills[j].first_due):
        s.by_due[j] += amount
    s.last_paid[j] = max(s.last_paid[j], time)
