"""Catalogue: what is owed, and how it is repaid.

"Paid" is what counts for a bill: payments that name it, and its part of the payments without a bill (features.ledger).
A bill is met when its minimum is paid; judged when it is over more than nothing and its agreed due date has passed; and
unmet when that has passed and it is not met, unless a later statement that carries its balance is met.

The turn of a bill is the time from its issue (or from the first due date of the bill due before it, if that is later)
to its own first due date. A bill is missed when nothing was paid for it by then and no other repayment came in its
turn, whichever bill that names, or none: silence is what tells. Days past due go by what is paid for the bill alone.
"""

from features.feature import Feature
from messages.vocabulary import Kind

_LEDGER = (
    Kind.REPAYMENT,
    Kind.REVERSAL,
    Kind.BILL_ISSUED,
    Kind.BILL_RESCHEDULED,
)
_OWED = (Kind.PURCHASE, Kind.REFUND, *_LEDGER)
_LATENESS = (*_LEDGER, Kind.HARDSHIP_PAUSE)
_PLAN = (Kind.PURCHASE,)
_INCOME = (Kind.ACCOUNT_OPENED, Kind.PROFILE_CHANGED, Kind.PROVIDENT_FUND)


def _ledger(name: str, unit: str, default: float, meaning: str, moved_by: tuple[Kind, ...] = _LEDGER) -> Feature:
    return Feature(name, "latest bills", unit, default, moved_by, meaning)


def _now(name: str, unit: str, default: float, meaning: str, moved_by: tuple[Kind, ...] = _LEDGER) -> Feature:
    return Feature(name, "now", unit, default, moved_by, meaning)


CREDIT: tuple[Feature, ...] = (
    _now("owed", "minor units", 0.0, "Unpaid bills, arrears and unbilled spending, less credit; at least 0.", _OWED),
    _now("unbilled", "minor units", 0.0, "Purchases less refunds after the day of the latest bill (36 d kept).", _OWED),
    _now("credit_balance", "minor units", 0.0, "Payments that no bill or arrears took up; at least 0."),
    Feature("instalments_due_30d", "next 30d", "minor units", 0.0, _PLAN, "Instalments of the next 30-day period."),
    Feature("instalments_open", "24 periods", "minor units", 0.0, _PLAN, "Instalments of all periods to come."),
    Feature(
        "instalment_load",
        "next 30d",
        "ratio",
        0.0,
        (*_PLAN, *_INCOME),
        "Instalments of the next 30-day period / estimated monthly income, at most 1000; 0 where that is unknown.",
    ),
    _ledger("bills_total", "bills", 0.0, "Bills ever issued over more than nothing."),
    _ledger("judged_bills", "bills", 0.0, "Kept judged bills; 0: nothing is known about how the user repays."),
    _ledger("bills_due", "bills", 0.0, "Bills ever judged: how much the ratios below rest on."),
    _ledger("open_bills", "bills", 0.0, "Kept bills that are not fully paid."),
    _ledger(
        "mean_lead_days",
        "days",
        0.0,
        "Mean over all bills ever judged of first due date less last payment in whole days, within -180 to 180; "
        "without any payment less the days since then; -180 for one that is not kept any more.",
    ),
    _ledger("on_time_ratio", "ratio", 0.5, "Of bills ever judged, those met by their first due date."),
    _ledger("minimum_only_ratio", "ratio", 0.0, "Of bills ever judged, those met but not paid in full."),
    _ledger("early_settlements", "bills", 0.0, "Bills ever paid in full 3 days or more before their first due date."),
    _ledger("missed_bills", "bills", 0.0, "Kept judged bills that were missed: nobody paid anything in their turn."),
    _ledger("missed_bills_recent", "bills", 0.0, "The same, each weighted 0.6 to the number of newer judged bills."),
    _ledger("last_bill_missed", "flag", 0.0, "1 where that is so of the newest judged bill."),
    _ledger(
        "last_bill_late_days",
        "days",
        0.0,
        "Of the newest judged bill, days from due date to the last payment that names it; without one, to the last "
        "repayment of any kind in its turn (or before, if it paid the bill), else to the first one after, else to now; "
        "within -30 to 60.",
    ),
    _ledger("paid_to_billed_ratio", "ratio", 1.0, "Paid / amount of the newest 3 judged bills, at most 1.5."),
    _ledger("latest_paid_ratio", "ratio", 1.0, "Paid / amount of the newest judged bill, at most 1.5."),
    Feature("repaid_90d", "90d", "minor units", 0.0, _LEDGER, "Paid on kept bills last paid within it, and unnamed."),
    _ledger("latest_bill", "minor units", 0.0, "Amount of the latest bill."),
    _ledger("mean_bill", "minor units", 0.0, "Mean amount of the kept bills."),
    _ledger("bill_growth", "ratio", 1.0, "Latest bill / mean of the earlier kept ones, at most 100; 1 without any."),
    _ledger("owed_to_mean_bill", "ratio", 0.0, "Owed / mean bill, at most 100; 0 without bills.", _OWED),
    _now("days_since_repayment", "days", 730.0, "Whole days since the newest kept repayment, at most 730."),
    _now("days_to_next_due", "days", 90.0, "Days (rounded up) to the next due date of a bill not met, at most 90."),
    _now("days_past_due", "days", 0.0, "Days (begun) since the oldest unmet due date, without paused ones.", _LATENESS),
    Feature(
        "worst_days_past_due_90d",
        "90d",
        "days",
        0.0,
        _LATENESS,
        "Most days past due of a kept bill that was late within the window, and of now.",
    ),
    _now("overdue_amount", "minor units", 0.0, "Unpaid part of unmet bills (of the newest one, if carried); arrears."),
    _now("unmet_bills", "bills", 0.0, "Number of unmet bills."),
    _now("arrears", "minor units", 0.0, "Left unpaid on bills older than the six that are kept."),
    Feature("failed_debits_30d", "30d", "debits", 0.0, (Kind.FAILED_DEBIT,), "Refused debits; 3 ten-day tiles."),
    Feature("failed_debits_90d", "90d", "debits", 0.0, (Kind.FAILED_DEBIT,), "Refused debits; 9 ten-day tiles."),
    _now("paused", "flag", 0.0, "1 during a hardship pause.", (Kind.HARDSHIP_PAUSE,)),
    _now(
        "debt_to_income",
        "ratio",
        0.0,
        "Owed / estimated monthly income, at most 1000; 0 where that is unknown.",
        (*_OWED, *_INCOME),
    ),
    Feature(
        "expected_cash_in_30d",
        "next 30d",
        "minor units",
        0.0,
        _INCOME,
        "Estimated monthly income, half of it while the provident fund is interrupted or closed; 0 where unknown.",
    ),
    Feature(
        "cash_due_30d",
        "next 30d",
        "minor units",
        0.0,
        (*_LEDGER, *_PLAN),
        "Unpaid part of bills due by then (of the newest one, if carried), arrears, instalments of the next period.",
    ),
    Feature(
        "minimum_due_30d",
        "next 30d",
        "minor units",
        0.0,
        _LEDGER,
        "Unpaid part of the minimum of the same bills, and arrears.",
    ),
    Feature(
        "cash_shortfall_30d",
        "next 30d",
        "minor units",
        0.0,
        (*_LEDGER, *_PLAN, *_INCOME),
        "Cash due less expected cash in, at least 0; 0 where no income is known.",
    ),
)
