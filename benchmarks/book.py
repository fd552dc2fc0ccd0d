"""A synthetic pay-later book for benchmarks: every input topic, seeded, in order of event time.

Accounts open and contribute to their provident fund first; then users buy, browse, log in, get bills and pay them. A
few never pay, a few buy far more than usual, a few ask for credit. What share of the events leads to decisions is told
by every benchmark that uses it, because decisions cost far more than events.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from messages.vocabulary import CATEGORIES

BEGIN_MS = 1_767_225_600_000  # 2026-01-01 UTC
DAY_MS = 86_400_000
#: How often each kind of event comes, of 1,000.
MIX = {
    "purchase": 560,
    "browse": 160,
    "login": 130,
    "repayment": 60,
    "bill_issued": 30,
    "provident_fund": 40,
    "refund": 10,
    "failed_debit": 4,
    "profile_changed": 4,
    "limit_request": 2,
}
TOPICS = {
    "purchase": "purchases",
    "refund": "purchases",
    "repayment": "repayments",
    "failed_debit": "repayments",
    "bill_issued": "bills",
    "provident_fund": "provident-fund",
    "account_opened": "profiles",
    "profile_changed": "profiles",
    "browse": "behaviours",
    "login": "behaviours",
    "limit_request": "limit-requests",
}
#: Everyday goods: cash-like ones and gambling would make a warning of nearly every user.
EVERYDAY = CATEGORIES[:12]


class Published(NamedTuple):
    """One event, ready to be published."""

    topic: str
    key: bytes
    value: bytes


@dataclass(slots=True)
class _User:
    name: str
    usual: int  # minor units of an everyday purchase
    income: int
    reliable: bool
    bought: int = 0  # and not billed yet


class _Bill(NamedTuple):
    user: _User
    name: str
    amount: int


_encode = msgspec.json.Encoder().encode


def opening(users: int, seed: int = 1, begin_ms: int = BEGIN_MS) -> Iterator[Published]:
    """Two events for every user within a day: the account with its limit, and the provident fund."""
    for number, user in enumerate(_users(users, seed)):
        time = begin_ms + number * DAY_MS // users
        yield _published(
            "account_opened", user, number, time, limit=400 * user.usual, currency="CNY",
            monthly_income=user.income, region=f"region-{number % 30}", consents_to_increases=number % 2 == 0,
        )  # fmt: skip
        yield _published("provident_fund", user, number, time, **_contribution(user, number, 24))


def life(
    users: int, events: int, seed: int = 1, days: float = 60.0, begin_ms: int = BEGIN_MS + 2 * DAY_MS
) -> Iterator[Published]:
    """`events` events of the users of `opening`, spread evenly over `days` from `begin_ms` on."""
    rng = random.Random(seed)
    book = _users(users, seed)
    kinds = rng.choices(list(MIX), list(MIX.values()), k=events)
    step = days * DAY_MS / events
    unpaid: deque[_Bill] = deque()  # of those who pay, the oldest first
    fields: dict[str, Any]
    for number, kind in enumerate(kinds):
        user = book[rng.randrange(users)]
        time = begin_ms + int(number * step)
        if kind == "repayment" and unpaid:
            bill = unpaid.popleft()
            fields = {"repayment_id": f"r{number}", "amount": bill.amount, "currency": "CNY", "bill_id": bill.name}
            yield _published(kind, bill.user, users + number, time, **fields)
            continue
        kind = "purchase" if kind == "repayment" else kind
        fields = _fields(kind, user, number, time, rng)
        if kind == "bill_issued" and user.reliable and fields["amount_due"]:
            unpaid.append(_Bill(user, fields["bill_id"], fields["amount_due"]))
        yield _published(kind, user, users + number, time, **fields)


def _users(count: int, seed: int) -> list[_User]:
    rng = random.Random(seed + 1)
    return [
        _User(f"u{number:07d}", rng.randrange(2_000, 12_000), rng.randrange(500_000, 3_000_000), rng.random() > 0.02)
        for number in range(count)
    ]


def _fields(kind: str, user: _User, number: int, time: int, rng: random.Random) -> dict[str, Any]:
    match kind:
        case "purchase":
            return _purchase(user, number, rng)
        case "refund":
            return {"order_id": f"o{number}", "amount": user.usual, "currency": "CNY"}
        case "bill_issued":
            amount, user.bought = user.bought, 0
            return {
                "bill_id": f"b{number}", "amount_due": amount, "minimum_due": amount // 10, "currency": "CNY",
                "due_time": time + 20 * DAY_MS,
            }  # fmt: skip
        case "provident_fund":
            return _contribution(user, number, 24 + number % 60)
        case "failed_debit":
            return {"amount": user.usual, "currency": "CNY"}
        case "profile_changed":
            return {"monthly_income": user.income, "currency": "CNY"}
        case "browse":
            return {"category": EVERYDAY[rng.randrange(12)], "device_id": f"d-{user.name}"}
        case "login":
            return {"device_id": f"d-{user.name}", "city": f"city-{number % 40}"}
        case _:
            return {"request_id": f"q{number}", "requested_limit": 500 * user.usual, "currency": "CNY"}


def _purchase(user: _User, number: int, rng: random.Random) -> dict[str, Any]:
    amount = int(user.usual * rng.lognormvariate(0.0, 0.35)) + 1
    if rng.random() < 0.0005:
        amount *= 20
    user.bought += amount
    return {
        "order_id": f"o{number}", "amount": amount, "currency": "CNY", "category": EVERYDAY[rng.randrange(12)],
        "merchant_id": f"m{rng.randrange(2_000)}", "device_id": f"d-{user.name}", "city": f"city-{number % 40}",
        "instalments": 1, "green": number % 10 == 0,
    }  # fmt: skip


def _contribution(user: _User, number: int, months: int) -> dict[str, Any]:
    return {
        "status": "normal", "monthly_amount": user.income // 8, "currency": "CNY", "months_contributed": months,
        "employer_id": f"e{number % 5_000}",
    }  # fmt: skip


def _published(kind: str, user: _User, number: int, time: int, **fields: Any) -> Published:
    event = {"type": kind, "event_id": f"{time}-{number}{kind[:2]}", "user_id": user.name, "time": time, **fields}
    return Published(TOPICS[kind], user.name.encode(), _encode(event))
