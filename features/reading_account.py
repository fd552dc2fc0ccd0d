"""Kernels that read the profile, behaviour, feedback and market features of a record."""

from typing import Any

from features.reading_spending import ratio
from features.record import DAY, TEN_DAYS
from features.tiles import newest, total
from messages.compiled import part, signed

RECENT_TILES = 3


@part
def read_profile(r: Any, f: Any, t: int) -> None:
    """Fill what is known of the account."""
    f.income_known = 1.0 if r.income > 0 else 0.0
    f.monthly_income = r.income
    f.account_known = 1.0 if r.opened != 0 else 0.0
    since = signed(r.opened) if r.opened != 0 else signed(r.first_seen)
    f.account_age_days = max((t - since) // DAY, 0) if since > 0 else 0
    f.account_closed = 1.0 if r.closed != 0 else 0.0
    f.consents_to_increases = r.consents_to_increases
    f.consents_to_automation = r.consents_to_automation
    f.feedback_confirmed = r.feedback_confirmed
    f.feedback_false = r.feedback_false
    f.frauds = r.frauds
    f.days_since_fraud = 9999.0
    if r.last_fraud != 0:
        f.days_since_fraud = float(min((t - signed(r.last_fraud)) // DAY, 9999))
    f.events_total = r.events
    f.late_events = r.late


@part
def read_behaviour(r: Any, f: Any, t: int) -> None:
    """Fill browsing and logins."""
    head = signed(r.head_90d)
    n = newest(head, t // TEN_DAYS, RECENT_TILES)
    f.browses_30d = total(r.browses_90d, head, n)
    f.risky_browse_share_30d = ratio(total(r.risky_browses_90d, head, n), f.browses_30d, 1.0, 0.0)
    f.logins_30d = total(r.logins_90d, head, n)
    f.failed_logins_30d = total(r.failed_logins_90d, head, n)


@part
def market_index(r: Any, regions: Any, indices: Any) -> float:
    """Index of the record's region among the ascending hashes `regions`; 1.0 where it is not known."""
    k, end = 0, len(regions)
    while k < end:
        middle = (k + end) // 2
        if regions[middle] < r.region:
            k = middle + 1
        else:
            end = middle
    return indices[k] if k < len(regions) and regions[k] == r.region else 1.0
