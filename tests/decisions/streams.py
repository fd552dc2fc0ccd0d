"""Seeded streams of contract events, and a driver that works them off in batches as a partition's task does."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisions.decide import decide
from decisions.in_force import InForce
from decisions.outcome import Example, Outcome
from decisions.work import Work
from features.market import Market
from features.record import RECORD
from messages.columns import Events, Source
from messages.decoding import Decoder
from messages.hashing import stable_hash
from messages.inputs import USER_TOPICS
from messages.message import Message
from messages.money import Money
from messages.records import RawRecords, Record
from policy.policy import Policy, load_default
from scoring.model import Model
from scoring.scorecard import Scorecard

DAY = 86_400
START = 1_700_000_000 // DAY * DAY
TOPIC_OF = {model.model_fields["type"].default: topic for topic, models in USER_TOPICS.items() for model in models}
Event = dict[str, Any]


def event(kind: str, user: str, time: float, **fields: Any) -> Event:
    """One contract event at `time` seconds after START; event_id follows from its content."""
    body = {"type": kind, "user_id": user, "time": int((START + time) * 1000), **fields}
    body["event_id"] = f"e{stable_hash(json.dumps(body, sort_keys=True)):016x}"
    return body


def account(user: str, time: float = 0, limit: int = 1_000_000, income: int | None = 1_500_000, **fields: Any) -> Event:
    consents = {"consents_to_increases": True, "consents_to_automated_decisions": True} | fields
    return event("account_opened", user, time, limit=limit, currency="CNY", monthly_income=income, **consents)


def purchase(user: str, time: float, amount: int, **fields: Any) -> Event:
    rest = {"category": "groceries", "merchant_id": "m1"} | fields
    return event("purchase", user, time, order_id=f"o{time}", amount=amount, currency="CNY", **rest)


def bill(user: str, time: float, name: str, amount: int, due: float, minimum: int | None = None) -> Event:
    return event(
        "bill_issued",
        user,
        time,
        bill_id=name,
        amount_due=amount,
        minimum_due=amount // 10 if minimum is None else minimum,
        currency="CNY",
        due_time=int((START + due) * 1000),
    )


def repayment(user: str, time: float, name: str, amount: int) -> Event:
    return event("repayment", user, time, repayment_id=f"r{time}", amount=amount, currency="CNY", bill_id=name)


def fund(user: str, time: float, status: str = "normal", amount: int = 300_000, months: int = 24) -> Event:
    return event(
        "provident_fund",
        user,
        time,
        status=status,
        monthly_amount=amount,
        currency="CNY",
        months_contributed=months,
    )


def request(user: str, time: float, asked: int) -> Event:
    return event("limit_request", user, time, request_id=f"q{time}", requested_limit=asked, currency="CNY")


def decode(stream: Sequence[Event], topics: dict[str, int] | None = None) -> Events:
    """The stream as columns, every event at the next offset of its topic; nothing in it may be refused."""
    decoder, offsets, parts = Decoder(Money("CNY", {"CNY": 1.0})), topics if topics is not None else {}, []
    for body in stream:
        topic = TOPIC_OF[body["type"]]
        offset = offsets.get(topic, 0)
        offsets[topic] = offset + 1
        record = Record(json.dumps(body).encode(), body["user_id"].encode(), offset)
        decoded = decoder.decode(Source(topic, 0, "one"), RawRecords.of([record]))
        assert not decoded.refused, decoded.refused
        parts.append(decoded.events)
    return Events.concatenate(parts)


class Desk:
    """Works a stream off in batches and keeps all that comes out of it."""

    def __init__(self, policy: Policy | None = None, model: Model | None = None) -> None:
        self.in_force = InForce(policy or load_default(), model or Scorecard(), Market())
        self.records: NDArray[np.void] = np.zeros(0, RECORD)
        self.users: list[str] = []
        self.watermark = 0
        self.messages: list[Message] = []
        self.examples: list[Example] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.scores: list[tuple[float, float, int, int]] = []
        self.offsets: dict[str, int] = {}

    def run(self, stream: Sequence[Event], size: int = 8_000, clock: int = 0) -> list[dict[str, Any]]:
        """Decide the stream in batches of `size`; returns the decisions of this run as objects."""
        return self.run_events(decode(stream, self.offsets), size, clock)

    def run_events(self, events: Events, size: int, clock: int = 0) -> list[dict[str, Any]]:
        """The same for a decoded stream."""
        before = len(self.messages)
        for start in range(0, len(events), size):
            self.keep(self.work_off(events.take(np.arange(start, min(start + size, len(events)))), clock))
        return [json.loads(message.value) for message in self.messages[before:]]

    def work_off(self, events: Events, clock: int = 0) -> Outcome:
        """One call of decide, with a row for every user."""
        work = self.work(events, clock)
        return decide(work.records, events, work.users, self.in_force, work.watermark, clock)

    def work(self, events: Events, clock: int = 0) -> Work:
        """What decide takes, with a row for every user."""
        known = {user: row for row, user in enumerate(self.users)}
        for user in events.users:
            if user not in known:
                known[user] = len(self.users)
                self.users.append(user)
        more = np.zeros(len(self.users) - len(self.records), RECORD)
        more["user"] = [stable_hash(user) for user in self.users[len(self.records) :]]
        self.records = np.concatenate([self.records, more])
        events.columns["row"] = [known[user] for user in events.users]
        return Work(self.records, events, self.users, self.watermark, clock)

    def keep(self, outcome: Outcome) -> None:
        """Take over what a call came to."""
        self.watermark = outcome.watermark
        self.messages += outcome.decisions
        self.examples += outcome.examples
        self.counts += outcome.counts
        scores = outcome.scores
        columns = (scores.default_probability, scores.spending_anomaly, scores.grade, scores.limit)
        self.scores += zip(*(column.tolist() for column in columns), strict=True)
        for row in outcome.retired:
            self.records[row] = np.zeros((), RECORD)
            self.records[row]["user"] = stable_hash(self.users[row])

    def standing(self, user: str) -> np.void:
        record: np.void = self.records[self.users.index(user)]
        return record


def of(decisions: Sequence[dict[str, Any]], kind: str, **fields: Any) -> list[dict[str, Any]]:
    """The decisions of one type with the given fields."""
    return [
        one for one in decisions if one["type"] == kind and all(one[name] == value for name, value in fields.items())
    ]


Happening = Callable[[random.Random, str, float], Event]
_CATEGORIES = ("groceries", "dining", "cash_like", "gift_cards", "electronics", "gambling")
_FUND = ("normal", "normal", "normal", "interrupted", "withdrawn", "closed")


def _any_event(chance: random.Random, user: str, time: float) -> Event:
    pick = chance.random()
    month = int(time // (30 * DAY))
    if pick < 0.5:
        return purchase(
            user,
            time,
            int(chance.lognormvariate(10, 1.2)) + 1,
            category=chance.choice(_CATEGORIES),
            merchant_id=f"m{chance.randrange(30)}",
            device_id=f"d{chance.randrange(3)}",
            city=f"c{chance.randrange(3)}",
            instalments=chance.choice((1, 1, 1, 6)),
        )
    if pick < 0.62:
        return repayment(user, time, f"b{month}", chance.randrange(1, 200_000))
    if pick < 0.72:
        return bill(user, time, f"b{month}", chance.randrange(0, 600_000), time + chance.randrange(5, 25) * DAY)
    if pick < 0.8:
        return fund(user, time, chance.choice(_FUND), chance.choice((300_000, 300_000, 90_000)))
    if pick < 0.86:
        return request(user, time, chance.randrange(1, 9_000_000))
    if pick < 0.9:
        return event("failed_debit", user, time, amount=5_000, currency="CNY")
    if pick < 0.93:
        return event("login", user, time, succeeded=chance.random() < 0.5, device_id=f"d{chance.randrange(9)}")
    if pick < 0.96:
        return event("profile_changed", user, time, consents_to_automated_decisions=chance.random() < 0.8)
    rare = ("fraud_confirmed", "account_closed", "erasure_requested", "account_opened", "hardship_pause")
    kind = chance.choice(rare)
    if kind == "account_opened":
        return account(user, time, chance.randrange(0, 30_000_000))
    until = {"until": int((START + time + 5 * DAY) * 1000)} if kind == "hardship_pause" else {}
    return event(kind, user, time, **until)


def random_stream(seed: int, users: int, count: int, days: float = 150) -> list[Event]:
    """A busy, shuffled life of some users: late events, repeats, closures, everything the contracts know."""
    chance = random.Random(seed)
    names = [f"u{number}" for number in range(users)]
    stream = [account(name, chance.random() * DAY) for name in names]
    for position in range(count):
        time = DAY + position / count * days * DAY - chance.choice((0, 0, 0, chance.random() * 7_200))
        stream.append(_any_event(chance, chance.choice(names), time))
        if chance.random() < 0.02:
            stream.append(chance.choice(stream[-20:]))
    return stream
