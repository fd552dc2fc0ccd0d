"""Random histories of one or several users as contract events, and the way to the kernel and back."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.record import RECORD
from messages.columns import EVENT, Source
from messages.decoding import Decoder
from messages.hashing import stable_hash
from messages.inputs import USER_TOPICS
from messages.money import Money
from messages.records import RawRecords, Record
from messages.vocabulary import CATEGORIES, FUND_STATUSES, VERDICTS

DAY = 86_400
START = 1_700_000_000
TOPIC_OF = {model.model_fields["type"].default: topic for topic, models in USER_TOPICS.items() for model in models}
DECODER = Decoder(Money())

Event = dict[str, Any]


class Life:
    """Draws events of one user, with ties, late ones, unknown bills, overflowing logs: what a real book may send."""

    def __init__(self, random: Random, user: str = "user-1", bills: int = 9, carries: bool | None = None) -> None:
        self.random, self.user, self.bills = random, user, bills
        self.carries = random.random() < 0.4 if carries is None else carries
        self.amounts = (500, 5_000, 60_000) if random.random() < 0.9 else (3_000_000_000, 4_000_000_000)

    def events(self, number: int, days: int, start: int = START) -> list[Event]:
        times = [start + self.random.randrange(days * DAY) for _ in range(number)]
        if self.random.random() < 0.3:
            times = [time // 3_600 * 3_600 for time in times]  # ties
        times.sort()
        return [self.event(i, time) for i, time in enumerate(times)]

    def event(self, number: int, time: int) -> Event:
        kind = self.random.choices(
            ["purchase", "refund", "repayment", "bill_issued", "provident_fund", "other"], [30, 4, 14, 9, 8, 20]
        )[0]
        kind = kind if kind != "other" else self.random.choice(sorted(set(TOPIC_OF) - {"erasure_requested"}))
        base = {"type": kind, "event_id": f"{self.user}-{number}", "user_id": self.user, "time": time * 1_000 + 7}
        return base | getattr(self, f"_{kind}", dict)() | self._with_time(kind, time)

    def _amount(self) -> Event:
        currency = "CNY" if self.random.random() < 0.9 or self.amounts[0] > 10**9 else "JPY"
        amount = max(1, int(self.random.choice(self.amounts) * self.random.uniform(0.2, 1.0)))
        return {"amount": amount, "currency": currency}

    def _bill(self) -> str:
        return f"bill-{self.random.randrange(self.bills)}"

    def _with_time(self, kind: str, time: int) -> Event:
        offset = self.random.choice([-5, 1, 10, 20, 25]) * DAY
        if kind in ("bill_issued", "bill_rescheduled"):
            return {"due_time": (time + offset) * 1_000}
        return {"until": (time + offset) * 1_000} if kind == "hardship_pause" else {}

    def _purchase(self) -> Event:
        pick, some = self.random.choice, self.random.random
        return self._amount() | {
            "order_id": "o",
            "category": pick(CATEGORIES[-6:] if some() < 0.5 else CATEGORIES),
            "merchant_id": f"m{self.random.randrange(90)}",
            "device_id": f"d{self.random.randrange(4)}" if some() < 0.8 else None,
            "city": f"c{self.random.randrange(4)}" if some() < 0.5 else None,
            "instalments": pick([1, 1, 1, 3, 12, 24]),
            "green": some() < 0.2,
            "energy_intensive": some() < 0.2,
        }

    def _refund(self) -> Event:
        return self._amount() | {"order_id": "o"}

    def _repayment(self) -> Event:
        named = {"bill_id": self._bill()} if self.random.random() < 0.5 else {}
        return self._amount() | {"repayment_id": "r"} | named

    _reversal = _repayment

    def _failed_debit(self) -> Event:
        return self._amount()

    def _bill_issued(self) -> Event:
        money = self._amount()
        amount = money.pop("amount") if self.random.random() < 0.9 else 0
        minimum = int(amount * self.random.choice([0.0, 0.1, 0.1, 1.0]))
        carries = self.carries != (self.random.random() < 0.05)
        money.pop("amount", None)
        return money | {
            "bill_id": self._bill(),
            "amount_due": amount,
            "minimum_due": minimum,
            "carries_balance": carries,
        }

    def _bill_rescheduled(self) -> Event:
        return {"bill_id": self._bill()}

    def _provident_fund(self) -> Event:
        money = self._amount()
        amount = money.pop("amount") if self.random.random() < 0.9 else 0
        money.pop("amount", None)
        status = self.random.choice([*FUND_STATUSES, "normal", "normal", "interrupted"])
        return money | {
            "status": status,
            "monthly_amount": amount,
            "months_contributed": self.random.randrange(100),
        }

    def _account_opened(self) -> Event:
        return {"limit": 1_000_000, "currency": "CNY"} | self._profile_changed()

    def _profile_changed(self) -> Event:
        some = self.random.random
        return {
            **({"monthly_income": self.random.randrange(900_000), "currency": "CNY"} if some() < 0.6 else {}),
            **({"region": self.random.choice(["north", "south"])} if some() < 0.6 else {}),
            **({"consents_to_increases": some() < 0.5} if some() < 0.6 else {}),
            **({"consents_to_automated_decisions": some() < 0.5} if some() < 0.6 else {}),
        }

    def _browse(self) -> Event:
        return {"category": self.random.choice(CATEGORIES), "device_id": f"d{self.random.randrange(4)}"}

    def _login(self) -> Event:
        return {"succeeded": self.random.random() < 0.7, "city": f"c{self.random.randrange(4)}"}

    def _limit_request(self) -> Event:
        return {"request_id": "q", "requested_limit": 10_000, "currency": "CNY"}

    def _warning_feedback(self) -> Event:
        return {"warning_id": "w", "verdict": self.random.choice(VERDICTS)}

    def _fraud_confirmed(self) -> Event:
        return self._amount() if self.random.random() < 0.5 else {}


def columns(events: Sequence[Mapping[str, Any]], rows: Mapping[str, int]) -> NDArray[np.void]:
    """EVENT[n] of contract events, decoded from their JSON, in the given order."""
    parts = [np.zeros(0, EVENT)]
    for event in events:
        raw = Record(json.dumps(event).encode(), event["user_id"].encode(), 0, 0)
        decoded = DECODER.decode(Source(TOPIC_OF[event["type"]], 0), RawRecords.of([raw]))
        assert not decoded.refused, decoded.refused
        parts.append(decoded.events.columns)
    whole = np.concatenate(parts)
    whole["row"] = [rows[event["user_id"]] for event in events]
    return whole


def fresh(users: Sequence[str]) -> NDArray[np.void]:
    """Empty records of `users`."""
    records = np.zeros(len(users), RECORD)
    records["user"] = [stable_hash(user) for user in users]
    return records
