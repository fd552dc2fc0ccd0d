"""Kernels that read the ledger features of a record, after `settle` has filled the scratch `s`."""

from typing import Any

from features.fund import expected_cash_in, income_estimate
from features.lateness import NINETY_DAYS, days_past_due, unmet, worst_days_past_due
from features.ledger import EARLY, LEAD_DAYS_MAX, lead_days, used_bills
from features.reading_spending import ratio
from features.record import BILLS, DAY, TEN_DAYS, TILES_90D, TILES_DAYS, UNASSIGNED
from features.tiles import instalments, newest, total
from messages.compiled import part, signed

RECENCY_WEIGHT, PAID_BILLS = 0.6, 3


@part
def read_owed(r: Any, s: Any, f: Any, t: int) -> None:
    """Fill what is owed: a carrying statement stands for everything before it."""
    latest_issue = 0
    rest = signed(0)
    for j in range(used_bills(r)):
        bill = r.bills[j]
        if bill.issued != 0:
            latest_issue = max(latest_issue, signed(bill.issued))
            if j >= s.carrying:
                rest += signed(bill.amount) - s.paid[j]
    head = signed(r.head_days)
    n = newest(head, t // DAY, TILES_DAYS)
    n = max(min(n, head - latest_issue // DAY), 0)
    unbilled = total(r.sum_days, head, n) - total(r.refund_sum_days, head, n)
    f.unbilled = unbilled
    f.arrears = s.arrears
    f.credit_balance = max(s.credit, 0)
    f.owed = max(rest + s.arrears + unbilled - s.credit, 0)


@part
def read_due(r: Any, s: Any, f: Any, t: int) -> None:
    """Fill what is due, and what is late."""
    horizon = t + 30 * DAY
    due_30, minimum_30, overdue, overdue_carried = s.arrears, s.arrears, s.arrears, signed(0)
    unmet_bills, opened, soonest = 0, 0, 90
    for j in range(used_bills(r)):
        bill = r.bills[j]
        if bill.issued == 0:
            continue
        due = signed(bill.due)
        rest = max(signed(bill.amount) - s.paid[j], 0)
        opened += rest > 0
        if j >= s.carrying and due <= horizon:
            due_30 += rest
            minimum_30 += max(signed(bill.minimum) - s.paid[j], 0)
        if unmet(r, s, j):
            if due >= t:
                soonest = min(soonest, (due - t + DAY - 1) // DAY)
            else:
                unmet_bills += 1
                if bill.carries:
                    overdue_carried = rest
                else:
                    overdue += rest
    f.open_bills = opened
    f.days_to_next_due = soonest
    f.unmet_bills = unmet_bills
    f.overdue_amount = overdue + overdue_carried
    f.days_past_due = days_past_due(r, s, t)
    f.worst_days_past_due_90d = worst_days_past_due(r, s, t)
    f.paused = 1.0 if signed(r.paused_from) <= t < signed(r.paused_until) else 0.0
    f.instalments_due_30d = instalments(r, t, 1)
    f.instalments_open = instalments(r, t, 24)
    f.cash_due_30d = due_30 + f.instalments_due_30d
    f.minimum_due_30d = minimum_30


@part
def _turn(r: Any, n: int, j: int) -> int:
    """When the turn of bill j begins: at its issue, or after the due date of the bill due before it, if that is later.

    It ends with its own due date. Bills issued all at once have turns one after the other.
    """
    due, since = signed(r.bills[j].first_due), signed(r.bills[j].issued)
    for k in range(n):
        before = signed(r.bills[k].first_due)
        if r.bills[k].issued != 0 and r.bills[k].amount != 0 and before < due:
            since = max(since, before + 1)
    return since


@part
def _nearer(best: int, time: int, until: int) -> int:
    """Of two times (0: none) the later one up to `until`; where both are after it, the earlier one."""
    if time <= until:
        return max(best, time) if best <= until else time
    if best == 0:
        return time
    return min(best, time) if best > until else best


@part
def _repaid_in_turn(r: Any, s: Any, n: int, j: int) -> int:
    """Time of the last repayment in the turn of bill j, whichever bill it names, or none; else of the first one after.

    0 where there is none. What paid the bill before its turn counts too, what was taken back in full does not. Of the
    repayments that name a bill only the newest is known.
    """
    since, until = _turn(r, n, j), signed(r.bills[j].first_due)
    best = s.last_paid[j] if s.by_due[j] > 0 else signed(0)
    for k in range(n):
        if r.bills[k].paid > 0 and signed(r.bills[k].last_paid) >= since:
            best = _nearer(best, signed(r.bills[k].last_paid), until)
    for k in range(UNASSIGNED):
        if r.unassigned[k].time == 0:
            break
        if s.pool[k] > 0 and r.unassigned[k].time >= since:
            best = _nearer(best, r.unassigned[k].time, until)
    return best


@part
def read_punctuality(r: Any, s: Any, f: Any, t: int) -> None:
    """Fill how bills were repaid, over the judged ones that are kept and the history of those that are not.

    A bill is missed where nobody paid anything in its turn. What was booked to it does not tell that: money that names
    no bill goes to the oldest one, so that who always owes something would never seem to pay the newer ones.
    """
    n = used_bills(r)
    judged, missed, on_time, minimum_only, early = 0, 0, 0, 0, 0
    weight, missed_recent = 1.0, 0.0
    lead = signed(r.past_lead_days)
    paid, billed = signed(0), signed(0)
    f.last_bill_missed = 0.0
    f.last_bill_late_days = 0.0
    f.latest_paid_ratio = 1.0
    for j in range(n - 1, -1, -1):
        bill = r.bills[j]
        amount, due, first_due = signed(bill.amount), signed(bill.due), signed(bill.first_due)
        if bill.issued == 0 or amount == 0:
            continue
        last_paid = s.last_paid[j]
        early += s.paid[j] >= amount and 0 < last_paid <= first_due - EARLY
        if due >= t:
            continue
        judged += 1
        silent = s.by_due[j] <= 0
        if silent or (judged == 1 and bill.last_paid == 0):
            repaid = _repaid_in_turn(r, s, n, j)
            silent = silent and not 0 < repaid <= first_due
        else:
            repaid = signed(0)
        if judged == 1:
            if bill.last_paid != 0:
                repaid = signed(bill.last_paid)
            f.last_bill_missed = 1.0 if silent else 0.0
            f.last_bill_late_days = max(min(((repaid if repaid > 0 else t) - due) / DAY, 60.0), -30.0)
            f.latest_paid_ratio = max(min(s.paid[j] / amount, 1.5), 0.0)
        if judged <= PAID_BILLS:
            paid += s.paid[j]
            billed += amount
        if silent:
            missed += 1
            missed_recent += weight
        weight *= RECENCY_WEIGHT
        on_time += s.by_due[j] >= signed(bill.minimum)
        minimum_only += signed(bill.minimum) <= s.paid[j] < amount
        lead += lead_days(first_due, last_paid) if last_paid > 0 else max((first_due - t) // DAY, -LEAD_DAYS_MAX)
    ever = float(signed(r.past_bills) + judged)
    f.judged_bills = judged
    f.bills_due = ever
    f.mean_lead_days = lead / ever if ever > 0 else 0.0
    f.on_time_ratio = ratio(signed(r.past_on_time) + on_time, ever, 1.0, 0.5)
    f.minimum_only_ratio = ratio(signed(r.past_minimum_only) + minimum_only, ever, 1.0, 0.0)
    f.early_settlements = signed(r.past_early) + early
    f.missed_bills = missed
    f.missed_bills_recent = missed_recent
    f.paid_to_billed_ratio = max(ratio(paid, billed, 1.5, 1.0), 0.0)


@part
def read_bills(r: Any, f: Any) -> None:
    """Fill the size of bills and its trend; needs what is owed."""
    bills, over_nothing, amounts, latest = 0, 0, signed(0), signed(0)
    for j in range(used_bills(r)):
        bill = r.bills[j]
        if bill.issued != 0:
            bills += 1
            over_nothing += bill.amount != 0
            latest = signed(bill.amount)
            amounts += latest
    f.bills_total = signed(r.past_bills) + over_nothing
    f.latest_bill = latest
    f.mean_bill = amounts / bills if bills > 0 else 0.0
    f.bill_growth = ratio(float(latest) * (bills - 1), float(amounts - latest), 100.0, 1.0)
    f.owed_to_mean_bill = ratio(f.owed * bills, float(amounts), 100.0, 0.0)


@part
def read_repayments(r: Any, f: Any, t: int) -> None:
    """Fill how recently and how much was repaid, and refused debits."""
    latest, repaid = signed(0), signed(0)
    for j in range(BILLS):
        time = signed(r.bills[j].last_paid)
        latest = max(latest, time)
        if time > t - NINETY_DAYS:
            repaid += r.bills[j].paid
    for j in range(UNASSIGNED):
        time = signed(r.unassigned[j].time)
        if r.unassigned[j].amount > 0:
            latest = max(latest, time)
        if time > t - NINETY_DAYS:
            repaid += r.unassigned[j].amount
    f.repaid_90d = max(repaid, 0)
    f.days_since_repayment = float(min((t - latest) // DAY, 730)) if latest > 0 else 730.0
    head = signed(r.head_90d)
    f.failed_debits_30d = total(r.failed_debits_90d, head, newest(head, t // TEN_DAYS, 3))
    f.failed_debits_90d = total(r.failed_debits_90d, head, newest(head, t // TEN_DAYS, TILES_90D))


@part
def read_ability(r: Any, f: Any) -> None:
    """Fill what the user can pay; needs what is owed and due."""
    income = income_estimate(r)
    f.income_estimate = income
    f.debt_to_income = ratio(f.owed, income, 1000.0, 0.0)
    f.instalment_load = ratio(f.instalments_due_30d, income, 1000.0, 0.0)
    f.expected_cash_in_30d = expected_cash_in(r)
    f.cash_shortfall_30d = max(f.cash_due_30d - f.expected_cash_in_30d, 0.0) if income > 0 else 0.0
