"""Kernels over the provident fund: a log of the newest entries in order of time."""

from typing import Any

from features.record import DAY, FUND_LOG
from messages.compiled import part, signed
from messages.vocabulary import FUND_STATUSES

INTERRUPTED, CLOSED = FUND_STATUSES.index("interrupted"), FUND_STATUSES.index("closed")

#: Ceiling of the contribution, employer and employee at 12 % of the wage each (the common local ceiling under the
#: Regulations on the Administration of Housing Provident Funds of the State Council of China).
CEILING_RATE = 0.24


@part
def _after(entry: Any, time: int, amount: int, months: int, status: int) -> bool:
    """True where `entry` comes after the given one: by time, for equal times by content, so that the order is total."""
    if signed(entry.time) != time:
        return signed(entry.time) > time
    if signed(entry.amount) != amount:
        return signed(entry.amount) > amount
    if signed(entry.months) != months:
        return signed(entry.months) > months
    return signed(entry.status) > status


@part
def fund_entries(r: Any) -> int:
    """Number of entries; they fill the log from 0."""
    n = 0
    while n < FUND_LOG and r.fund[n].time != 0:
        n += 1
    return n


@part
def contribute(r: Any, time: int, amount: int, months: int, status: int) -> None:
    """Insert an entry at its place; of more than the log holds the oldest falls out."""
    log = r.fund
    n = fund_entries(r)
    if n == FUND_LOG:
        if _after(log[0], time, amount, months, status):
            return
        n -= 1
        for j in range(n):
            log[j] = log[j + 1]
    j = n
    while j > 0 and _after(log[j - 1], time, amount, months, status):
        log[j] = log[j - 1]
        j -= 1
    log[j].time = time
    log[j].amount = amount
    log[j].months = months
    log[j].status = status


@part
def income_estimate(r: Any) -> float:
    """Declared monthly income, else the fund's newest amount at its ceiling rate, in minor units; 0.0 unknown."""
    if r.income > 0:
        return float(r.income)
    n = fund_entries(r)
    return float(r.fund[n - 1].amount) / CEILING_RATE if n > 0 else 0.0


@part
def expected_cash_in(r: Any) -> float:
    """Estimated monthly income, halved while the fund is interrupted or closed, since work has probably ended."""
    n = fund_entries(r)
    stopped = n > 0 and (r.fund[n - 1].status == INTERRUPTED or r.fund[n - 1].status == CLOSED)
    return income_estimate(r) * (0.5 if stopped else 1.0)


@part
def read_fund(r: Any, f: Any, t: int) -> None:
    """Fill the provident-fund features."""
    n = fund_entries(r)
    f.fund_known = 1.0 if n > 0 else 0.0
    f.fund_status = -1.0
    f.fund_months = 0.0
    f.fund_amount = 0.0
    f.fund_change = 1.0
    f.days_since_fund_entry = 730.0
    interrupted_30, interrupted_90, interrupted_365 = 0, 0, 0
    changed_30, changed_90, changed_365 = 0, 0, 0
    earlier = 0
    for j in range(n):
        entry = r.fund[j]
        age = t - signed(entry.time)
        changed = j > 0 and entry.status != r.fund[j - 1].status
        interrupted = entry.status == INTERRUPTED and (j == 0 or changed)
        changed_30 += changed and age < 30 * DAY
        changed_90 += changed and age < 90 * DAY
        changed_365 += changed and age < 365 * DAY
        interrupted_30 += interrupted and age < 30 * DAY
        interrupted_90 += interrupted and age < 90 * DAY
        interrupted_365 += interrupted and age < 365 * DAY
        if j < n - 1:
            earlier += signed(entry.amount)
    f.fund_status_changes_30d = changed_30
    f.fund_status_changes_90d = changed_90
    f.fund_status_changes_365d = changed_365
    f.fund_interruptions_30d = interrupted_30
    f.fund_interruptions_90d = interrupted_90
    f.fund_interruptions_365d = interrupted_365
    if n > 0:
        newest = r.fund[n - 1]
        f.fund_status = float(newest.status)
        f.fund_months = float(newest.months)
        f.fund_amount = float(newest.amount)
        f.days_since_fund_entry = float(min((t - signed(newest.time)) // DAY, 730))
        if earlier > 0:
            f.fund_change = min(float(newest.amount) * (n - 1) / earlier, 100.0)
