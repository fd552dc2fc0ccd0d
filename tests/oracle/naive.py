"""Every record feature of one user, recomputed from the list of its events without the kernel: plain lists and sums.

What the catalogue documents as a sketch is the same sketch here (windows of tiles, hash slots, six bills, twelve fund
entries). It knows nothing of retirement: a history whose record would have been deleted on the way is out of its scope.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import log1p, sqrt
from typing import Any

from features.market import Market
from features.terms import Terms
from messages.money import Money
from messages.vocabulary import FUND_STATUSES
from tests.oracle.ledger import DAY, Bill, Ledger, lead

HOUR = 3_600
TILES = {"1h": (600, 6), "24h": (7_200, 12), "7d": (DAY, 7), "30d": (DAY, 30), "90d": (10 * DAY, 9)}
U4_MAX, U2_MAX, U1_MAX = 2**32 - 1, 2**16 - 1, 2**8 - 1
RISKY = ("cash_like", "gift_cards", "gambling")

Event = Mapping[str, Any]


def hashed(text: str | None) -> int:
    if not text:
        return 0
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def without_repeats(events: Sequence[Event]) -> list[Event]:
    """Drop an event whose id is among the 24 that were applied last."""
    kept: list[Event] = []
    for event in events:
        if event["event_id"] not in {other["event_id"] for other in kept[-24:]}:
            kept.append(event)
    return kept


def seconds(event: Event) -> int:
    return int(event["time"]) // 1_000


def quotient(part: float, whole: float, ceiling: float, default: float) -> float:
    return min(part / whole, ceiling) if whole > 0 else default


class History:
    """One user's events and the questions that features ask of them."""

    def __init__(self, events: Sequence[Event], at: int, terms: Terms, market: Market, money: Money) -> None:
        self.events = without_repeats(events)
        self.t = max([at, *map(seconds, self.events)])
        self.first = min(map(seconds, self.events), default=0)
        self.terms, self.market, self.money = terms, market, money

    def amount(self, event: Event, name: str = "amount") -> int:
        value = int(event.get(name) or 0)
        return self.money.convert(value, event["currency"]) if event.get("currency") else value

    def of(self, *types: str) -> list[Event]:
        return [event for event in self.events if event["type"] in types]

    def tiles(self, window: str) -> tuple[int, range]:
        width, number = TILES[window]
        return width, range(self.t // width - number + 1, self.t // width + 1)

    def within(self, window: str, events: Sequence[Event], tiles: range | None = None) -> list[Event]:
        width, default = self.tiles(window)
        return [event for event in events if seconds(event) // width in (default if tiles is None else tiles)]

    def summed(self, window: str, events: Sequence[Event]) -> int:
        """Sum of amounts, each tile saturated."""
        sums: Counter[int] = Counter()
        for event in self.within(window, events):
            sums[seconds(event) // TILES[window][0]] += self.amount(event)
        return sum(min(value, U4_MAX) for value in sums.values())


def spending(h: History) -> dict[str, float]:
    bought, features = h.of("purchase"), {}
    for window in TILES:
        inside = h.within(window, bought)
        total = h.summed(window, bought)
        features[f"spend_count_{window}"] = float(len(inside))
        features[f"spend_sum_{window}"] = float(total)
        features[f"spend_mean_{window}"] = total / len(inside) if inside else 0.0
        features[f"spend_max_{window}"] = float(max((min(h.amount(event), U4_MAX) for event in inside), default=0))
    logs = [round(1_000 * log1p(h.amount(event))) for event in bought]
    n = len(logs)
    features["purchases_total"] = float(n)
    features["spend_mean_all"] = sum(h.amount(event) for event in bought) / n if n else 0.0
    features["log_amount_mean"] = sum(logs) / n / 1_000 if n else 0.0
    spread = n * sum(log * log for log in logs) - sum(logs) ** 2
    features["log_amount_deviation"] = sqrt(spread) / n / 1_000 if n else 0.0
    newest = max(map(seconds, bought), default=0)
    features["days_since_purchase"] = float(min((h.t - newest) // DAY, 730)) if bought else 730.0
    hours, days = (h.t - h.first) // HOUR + 1, (h.t - h.first) // DAY + 1
    f = features
    f["count_velocity_1h"] = quotient(f["spend_count_1h"] * min(hours, 24), f["spend_count_24h"], 24, 1.0)
    f["spend_velocity_24h"] = quotient(f["spend_sum_24h"] * min(days, 30), f["spend_sum_30d"], 30, 1.0)
    weekly, monthly = f["spend_sum_7d"] / min(days, 7), f["spend_sum_30d"] / min(days, 30)
    f["spend_acceleration"] = quotient(weekly * min(days, 30), f["spend_sum_30d"], 30, 1.0)
    f["spend_surge_30d"] = quotient(monthly * min(days, 90), f["spend_sum_90d"], 90, 1.0)
    return features


def variety(h: History) -> dict[str, float]:
    def slots(name: str, number: int, types: tuple[str, ...]) -> list[tuple[int, int]]:
        """First and last day of every slot that was seen."""
        days: dict[int, list[int]] = {}
        for event in h.of(*types):
            if event.get(name):
                days.setdefault(hashed(event[name]) % number, []).append(seconds(event) // DAY)
        return [(min(of_slot), max(of_slot)) for of_slot in days.values()]

    week, month = h.t // DAY - 6, h.t // DAY - 29
    later = max(month, h.first // DAY + 1)
    merchants = slots("merchant_id", 64, ("purchase",))
    devices = slots("device_id", 16, ("purchase", "browse", "login"))
    cities = slots("city", 16, ("purchase", "login"))
    distinct = sum(last >= month for _, last in merchants)
    return {
        "distinct_merchants_7d": sum(last >= week for _, last in merchants),
        "distinct_merchants_30d": distinct,
        "new_merchant_share_30d": quotient(sum(first >= month for first, _ in merchants), distinct, 1.0, 0.0),
        "distinct_devices_30d": sum(last >= month for _, last in devices),
        "new_devices_30d": sum(first >= later for first, _ in devices),
        "distinct_cities_30d": sum(last >= month for _, last in cities),
        "new_cities_30d": sum(first >= later for first, _ in cities),
    }


def shares(h: History) -> dict[str, float]:
    bought = h.of("purchase")
    inside, spent = h.within("90d", bought), h.summed("90d", bought)

    def night(event: Event) -> bool:
        hour = (seconds(event) + h.terms.utc_offset) % DAY // HOUR
        start, end = h.terms.night_start, h.terms.night_end
        return start <= hour < end if start <= end else hour >= start or hour < end

    def share(chosen: Callable[[Event], bool]) -> float:
        return quotient(h.summed("90d", [event for event in bought if chosen(event)]), spent, 1.0, 0.0)

    now = h.t // (10 * DAY)
    counts: Counter[tuple[int, str]] = Counter((seconds(event) // (10 * DAY), event["category"]) for event in inside)
    recent, earlier = Counter[str](), Counter[str]()
    for (tile, category), count in counts.items():
        (recent if tile > now - 3 else earlier)[category] += min(count, U1_MAX)
    n_recent, n_earlier = recent.total(), earlier.total()
    shift = 0.0
    if n_recent >= 5 and n_earlier >= 5:
        shift = sum(abs(recent[c] / n_recent - earlier[c] / n_earlier) for c in {*recent, *earlier}) / 2
    refunds = h.summed("90d", h.of("refund"))
    return {
        "night_share_90d": quotient(sum(map(night, inside)), len(inside), 1.0, 0.0),
        "cash_like_share_90d": share(lambda event: event["category"] == "cash_like"),
        "gift_card_share_90d": share(lambda event: event["category"] == "gift_cards"),
        "green_share_90d": share(lambda event: bool(event.get("green"))),
        "energy_share_90d": share(lambda event: bool(event.get("energy_intensive"))),
        "gambling_share_90d": quotient(recent["gambling"] + earlier["gambling"], n_recent + n_earlier, 1.0, 0.0),
        "category_shift": shift,
        "refund_sum_30d": h.summed("30d", h.of("refund")),
        "refund_ratio_90d": quotient(refunds, max(refunds, spent), 1.0, 0.0),
    }


def ledger_of(h: History) -> Ledger:
    ledger = Ledger()
    for event in h.events:
        name, time = hashed(event.get("bill_id")), seconds(event)
        match event["type"]:
            case "repayment":
                ledger.pay(name, time, h.amount(event))
            case "reversal":
                ledger.pay(name, time, -h.amount(event))
            case "bill_issued":
                amount, minimum = (
                    min(h.amount(event, "amount_due"), U4_MAX),
                    min(h.amount(event, "minimum_due"), U4_MAX),
                )
                due = int(event["due_time"]) // 1_000
                ledger.issue(name, time, due, amount, minimum, bool(event.get("carries_balance")))
            case "bill_rescheduled":
                ledger.reschedule(name, time, int(event["due_time"]) // 1_000)
            case "hardship_pause":
                ledger.hardship(time, int(event["until"]) // 1_000)
    ledger.settle()
    return ledger


def instalments(h: History, periods: int) -> int:
    """Of the `periods` 30-day periods after the current one."""
    now = h.t // (30 * DAY)
    due: Counter[int] = Counter()
    for event in h.of("purchase"):
        parts = event.get("instalments", 1)
        for j in range(1, parts + 1) if parts > 1 else ():
            rest = h.amount(event) - h.amount(event) // parts * parts if j == 1 else 0
            due[seconds(event) // (30 * DAY) + j] += h.amount(event) // parts + rest
    return sum(min(value, U4_MAX) for period, value in due.items() if now < period <= now + periods)


def owing(h: History, ledger: Ledger) -> dict[str, float]:
    t = h.t
    latest_issue = max((bill.issued for bill in ledger.issued), default=0) // DAY
    unbilled_days = range(max(t // DAY - 35, latest_issue + 1), t // DAY + 1)
    unbilled = sum(
        (1 if kind == "purchase" else -1)
        * min(sum(h.amount(e) for e in h.of(kind) if seconds(e) // DAY == day), U4_MAX)
        for kind in ("purchase", "refund")
        for day in unbilled_days
    )
    rest = sum(bill.amount - bill.all_paid for bill in ledger.counted)
    soon = [bill for bill in ledger.counted if bill.due <= t + 30 * DAY]
    unmet = ledger.unmet(t)
    carried = [bill.rest for bill in unmet if bill.carries]
    ahead = [bill.due - t for bill in ledger.current if not bill.met and bill.due >= t]
    return {
        "owed": max(rest + ledger.arrears + unbilled - ledger.credit, 0),
        "unbilled": unbilled,
        "credit_balance": max(ledger.credit, 0),
        "arrears": ledger.arrears,
        "instalments_due_30d": instalments(h, 1),
        "instalments_open": instalments(h, 24),
        "open_bills": sum(bill.rest > 0 for bill in ledger.issued),
        "days_to_next_due": min([90, *(-(-wait // DAY) for wait in ahead)]),
        "unmet_bills": len(unmet),
        "overdue_amount": ledger.arrears + sum(b.rest for b in unmet if not b.carries) + sum(carried[-1:]),
        "days_past_due": ledger.days_past_due(t),
        "worst_days_past_due_90d": ledger.worst(t),
        "paused": float(ledger.pause[0] <= t < ledger.pause[1]),
        "cash_due_30d": ledger.arrears + sum(bill.rest for bill in soon) + instalments(h, 1),
        "minimum_due_30d": ledger.arrears + sum(max(bill.minimum - bill.all_paid, 0) for bill in soon),
    }


def punctuality(h: History, ledger: Ledger, owed: float) -> dict[str, float]:
    t, past = h.t, ledger.past
    over_nothing = [bill for bill in ledger.issued if bill.amount]
    judged = [bill for bill in reversed(over_nothing) if bill.due < t]
    ever = past.bills + len(judged)

    def lead_of(bill: Bill) -> int:
        return lead(bill.first_due, bill.all_last) if bill.all_last else max((bill.first_due - t) // DAY, -180)

    def early(bill: Bill) -> bool:
        return bill.all_paid >= bill.amount and 0 < bill.all_last <= bill.first_due - 3 * DAY

    def repaid_in_turn(bill: Bill) -> int:
        """The last repayment of any kind in the bill's turn (or that paid it before), else the first one after."""
        dues_before = [other.first_due for other in over_nothing if other.first_due < bill.first_due]
        times = [time for time in ledger.repaid_at if time >= bill.issued and all(time > due for due in dues_before)]
        times += [bill.all_last] if bill.all_by_due > 0 else []
        return max((time for time in times if time <= bill.first_due), default=min(times, default=0))

    missed = [bill.all_by_due <= 0 and not 0 < repaid_in_turn(bill) <= bill.first_due for bill in judged]
    newest = judged[0] if judged else None
    late = ((newest.last_paid or repaid_in_turn(newest) or t) - newest.due) / DAY if newest else 0.0
    amounts = [bill.amount for bill in ledger.issued]
    payments = [(bill.last_paid, bill.paid) for bill in ledger.bills if bill.last_paid]
    times = [time for time, _ in payments] + [time for time, amount in ledger.payments if amount > 0]
    repaid = sum(amount for time, amount in payments + ledger.payments if time > t - 90 * DAY)
    lead_days = past.lead_days + sum(map(lead_of, judged))
    only_minimum = sum(bill.met and bill.all_paid < bill.amount for bill in judged)
    return {
        "bills_total": past.bills + len(over_nothing),
        "judged_bills": len(judged),
        "bills_due": ever,
        "mean_lead_days": lead_days / ever if ever else 0.0,
        "on_time_ratio": quotient(past.on_time + sum(b.all_by_due >= b.minimum for b in judged), ever, 1.0, 0.5),
        "minimum_only_ratio": quotient(past.minimum_only + only_minimum, ever, 1.0, 0.0),
        "early_settlements": past.early + sum(map(early, over_nothing)),
        "missed_bills": sum(missed),
        "missed_bills_recent": sum(0.6**i for i, of_bill in enumerate(missed) if of_bill),
        "last_bill_missed": float(bool(missed and missed[0])),
        "last_bill_late_days": max(min(late, 60.0), -30.0),
        "paid_to_billed_ratio": max(
            quotient(sum(b.all_paid for b in judged[:3]), sum(b.amount for b in judged[:3]), 1.5, 1.0), 0.0
        ),
        "latest_paid_ratio": max(min(newest.all_paid / newest.amount, 1.5), 0.0) if newest else 1.0,
        "repaid_90d": max(repaid, 0),
        "latest_bill": amounts[-1] if amounts else 0,
        "mean_bill": sum(amounts) / len(amounts) if amounts else 0.0,
        "bill_growth": quotient(amounts[-1] * (len(amounts) - 1), sum(amounts[:-1]), 100.0, 1.0) if amounts else 1.0,
        "owed_to_mean_bill": quotient(owed * len(amounts), sum(amounts), 100.0, 0.0),
        "days_since_repayment": min((t - max(times)) // DAY, 730) if times else 730,
        "failed_debits_90d": len(h.within("90d", h.of("failed_debit"))),
        "failed_debits_30d": len(h.within("90d", h.of("failed_debit"), three_tiles(h))),
    }


def three_tiles(h: History) -> range:
    return range(h.t // (10 * DAY) - 2, h.t // (10 * DAY) + 1)


def fund(h: History) -> dict[str, float]:
    def entry_of(event: Event) -> tuple[int, int, int, int]:
        amount, status = min(h.amount(event, "monthly_amount"), U4_MAX), FUND_STATUSES.index(event["status"])
        return seconds(event), amount, event["months_contributed"], status

    log = sorted(map(entry_of, h.of("provident_fund")))[-12:]
    statuses = [entry[3] for entry in log]
    changes = [entry[0] for entry, before in zip(log[1:], statuses, strict=False) if entry[3] != before]
    befores = [None, *statuses]
    interruptions = [entry[0] for entry, before in zip(log, befores, strict=False) if entry[3] == 1 and before != 1]
    time, amount, months, status = log[-1] if log else (0, 0, 0, -1)
    earlier = sum(entry[1] for entry in log[:-1])
    features: dict[str, float] = {
        "fund_known": float(bool(log)),
        "fund_status": status,
        "fund_months": months,
        "fund_amount": amount,
        "fund_change": min(amount / (earlier / (len(log) - 1)), 100.0) if earlier else 1.0,
        "days_since_fund_entry": min((h.t - time) // DAY, 730) if log else 730,
    }
    for days in (30, 90, 365):
        features[f"fund_interruptions_{days}d"] = sum(h.t - when < days * DAY for when in interruptions)
        features[f"fund_status_changes_{days}d"] = sum(h.t - when < days * DAY for when in changes)
    return features


def newest_of(h: History, name: str, prefer: Callable[[Any, Any], Any]) -> Any:
    """The newest value of a profile field; of values of one second the preferred one."""
    found: dict[int, Any] = {}
    for event in h.of("account_opened", "profile_changed"):
        value = event.get(name)
        if value is None and event["type"] == "account_opened":
            value = {"consents_to_increases": False, "consents_to_automated_decisions": True}.get(name)
        if value is not None:
            value = h.amount(event, name) if name == "monthly_income" else value
            time = seconds(event)
            found[time] = prefer(found.get(time, value), value)
    return found[max(found)] if found else None


def account(h: History) -> dict[str, float]:
    def greater_region(a: str, b: str) -> str:
        return max(a, b, key=hashed)

    income = newest_of(h, "monthly_income", max) or 0
    region = newest_of(h, "region", greater_region)
    opened = min(map(seconds, h.of("account_opened")), default=0)
    frauds = h.of("fraud_confirmed")
    browsed = h.within("90d", h.of("browse"), three_tiles(h))
    logins = h.within("90d", h.of("login"), three_tiles(h))
    verdicts = [event["verdict"] for event in h.of("warning_feedback")]
    late, newest = 0, 0
    for event in h.events:
        newest = max(newest, seconds(event))
        late += seconds(event) // (10 * DAY) <= newest // (10 * DAY) - 9
    return {
        "income_known": float(income > 0),
        "monthly_income": income,
        "account_known": float(opened > 0),
        "account_age_days": (h.t - (opened or h.first)) // DAY if h.events else 0,
        "account_closed": float(bool(h.of("account_closed"))),
        "consents_to_increases": float(newest_of(h, "consents_to_increases", min) or False),
        "consents_to_automation": float(newest_of(h, "consents_to_automated_decisions", min) or False),
        "browses_30d": len(browsed),
        "risky_browse_share_30d": quotient(sum(e["category"] in RISKY for e in browsed), len(browsed), 1.0, 0.0),
        "logins_30d": len(logins),
        "failed_logins_30d": sum(not event.get("succeeded", True) for event in logins),
        "feedback_confirmed": verdicts.count("confirmed"),
        "feedback_false": verdicts.count("false_positive"),
        "frauds": len(frauds),
        "days_since_fraud": min((h.t - max(map(seconds, frauds))) // DAY, 9_999) if frauds else 9_999,
        "events_total": len(h.events),
        "late_events": late,
        "market_index": h.market.index_of(region) if region else 1.0,
    }


def features_of(
    events: Sequence[Event], at: int, terms: Terms, market: Market, money: Money | None = None
) -> dict[str, float]:
    """Record features (owner "record") after `events`, contract events in the order of arrival, read at `at` (s)."""
    h = History(events, at, terms, market, money or Money())
    ledger = ledger_of(h)
    features = {**spending(h), **variety(h), **shares(h), **owing(h, ledger), **fund(h), **account(h)}
    features |= punctuality(h, ledger, features["owed"])
    income = features["monthly_income"] or features["fund_amount"] / 0.24
    stopped = features["fund_status"] in (FUND_STATUSES.index("interrupted"), FUND_STATUSES.index("closed"))
    expected = income * (0.5 if stopped else 1.0)
    features["income_estimate"] = income
    features["debt_to_income"] = quotient(features["owed"], income, 1_000.0, 0.0)
    features["instalment_load"] = quotient(features["instalments_due_30d"], income, 1_000.0, 0.0)
    features["expected_cash_in_30d"] = expected
    features["cash_shortfall_30d"] = max(features["cash_due_30d"] - expected, 0.0) if income else 0.0
    return {name: float(value) for name, value in features.items()}
