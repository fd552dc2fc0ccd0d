"""What is known about one user, read from the store: nothing is changed and nothing is locked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.broadcasts import TOPICS, Book
from agents.meters import SilentMeters
from app.build import signing_key
from app.core import first_in_force
from app.kafka import KafkaUnavailable, partition_of, read_topics
from app.settings import Settings
from decisions.in_force import InForce
from features.catalogue import FEATURES, INDEX
from features.packing import unpack
from features.reading import read
from features.record import RECORD
from messages.hashing import stable_hash
from messages.outputs import GRADES, SEVERITIES
from messages.vocabulary import FUND_STATUSES
from policy.policy import Policy
from policy.standing import CLOSED, FROZEN, complete, gather
from scoring.anomaly import spending_anomaly
from store.contract import LimitView, PartitionStore, Store

REASONS = 5


class UnknownUser(Exception):
    """The store holds no record of the user."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Plain values, ready for JSON; times in ms since 1970 UTC, amounts in minor units of the book's currency."""

    user: str
    as_of: int
    events: int
    model: str
    policy: str
    warming: bool
    default_probability: float
    spending_anomaly: float
    grade: str
    score_reasons: list[dict[str, Any]]
    limit: dict[str, Any]
    ledger: dict[str, Any]
    provident_fund: list[dict[str, Any]]
    open_warnings: list[dict[str, Any]]
    features: dict[str, float]


async def in_force_now(settings: Settings) -> tuple[InForce, str]:
    """What decides now as the broadcast topics say, and a note where they could not be read.

    Raises:
        PolicyError: for a policy file that cannot be used.
    """
    first = first_in_force(settings)
    book = Book(first, signing_key(settings), SilentMeters())
    try:
        async for record in read_topics(settings, TOPICS, from_start=True, follow=False):
            book.apply(record)
    except KafkaUnavailable as error:
        return first, f"scored with the first policy and the scorecard, because of {error}"
    return book.in_force, ""


async def inspect_user(store: Store, settings: Settings, user: str, in_force: InForce) -> Inspection:
    """Everything about one user as of the partition's watermark, or the user's newest event if that is later.

    Raises:
        UnknownUser: the store holds no record.
        StoreUnavailable, CorruptState: as the store says.
    """
    view = store.partition(partition_of(user, settings.partitions))
    try:
        record = (await load_records(view, [user]))[0]
        watermark = (await view.open()).header.watermark
    finally:
        await view.close()
    if not record["events"]:
        raise UnknownUser(f"the store knows no user {user!r} (partition count {settings.partitions})")
    projected = await store.limit_of(user)
    time = max(int(record["last_seen"]), watermark)
    features = score(record[None], np.array([time]), in_force)[0]
    policy, model = in_force.policy, in_force.model
    return Inspection(
        user=user,
        as_of=time * 1000,
        events=int(record["events"]),
        model=model.version,
        policy=policy.version,
        warming=model.warming,
        default_probability=float(features[INDEX["default_probability"]]),
        spending_anomaly=float(features[INDEX["spending_anomaly"]]),
        grade=_grade(int(record["grade"])),
        score_reasons=[
            {"feature": name, "value": float(features[INDEX[name]]), "log_odds": weight}
            for name, weight in sorted(model.contributions(features), key=lambda part: -abs(part[1]))[:REASONS]
        ],
        limit=_limit(record, projected),
        ledger=_ledger(record, features),
        provident_fund=_fund(record),
        open_warnings=_open_warnings(record, policy),
        features={feature.name: float(features[i]) for i, feature in enumerate(FEATURES)},
    )


async def load_records(view: PartitionStore, users: Sequence[str]) -> NDArray[np.void]:
    """The users' records, RECORD[k]; of an unknown user an empty one."""
    records = np.zeros(len(users), RECORD)
    unpack(await view.load(users), records)
    for row, user in enumerate(users):
        if not records["user"][row]:
            records["user"][row] = stable_hash(user)
    return records


def score(records: NDArray[np.void], times: NDArray[np.int64], in_force: InForce) -> NDArray[np.float64]:
    """All features f8[u, WIDTH] of RECORD[u] at `times` (s), standing and scores included."""
    features = read(records, times, in_force.policy.terms, in_force.market)
    complete(features, gather(records, np.arange(len(records))), times)
    features[:, INDEX["warming"]] = float(in_force.model.warming)
    features[:, INDEX["spending_anomaly"]] = spending_anomaly(features)
    features[:, INDEX["default_probability"]] = in_force.model.probability(features)
    return features


def _limit(record: np.void, projected: LimitView | None) -> dict[str, Any]:
    return {
        "limit": int(record["limit"]),
        "frozen": bool(record["frozen"] == FROZEN),
        "closed": bool(record["frozen"] == CLOSED),
        "starting_limit": int(record["starting_limit"]),
        "version": int(record["limit_version"]),
        "changed": _ms(record["limit_changed"]),
        "projected": None if projected is None else projected.limit,
    }


def _fund(record: np.void) -> list[dict[str, Any]]:
    return [
        {
            "time": _ms(entry["time"]),
            "status": FUND_STATUSES[entry["status"]],
            "amount": int(entry["amount"]),
            "months": int(entry["months"]),
        }
        for entry in record["fund"]
        if entry["time"]
    ]


def _open_warnings(record: np.void, policy: Policy) -> list[dict[str, Any]]:
    return [
        {
            "trigger": watch.trigger.name,
            "severity": SEVERITIES[int(record["warning_severity"][watch.slot]) - 1],
            "since": _ms(record["warning_since"][watch.slot]),
        }
        for watch in policy.watches
        if record["warning_severity"][watch.slot]
    ]


def _ledger(record: np.void, features: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "owed": int(features[INDEX["owed"]]),
        "days_past_due": int(features[INDEX["days_past_due"]]),
        "overdue_amount": int(features[INDEX["overdue_amount"]]),
        "credit": int(record["credit"]),
        "arrears": int(record["arrears"]),
        "bills": [
            {
                "bill": f"{int(bill['bill']):016x}",
                "issued": _ms(bill["issued"]),
                "due": _ms(bill["due"]),
                "amount": int(bill["amount"]),
                "minimum": int(bill["minimum"]),
                "paid": int(bill["paid"]),
                "carries_balance": bool(bill["carries"]),
            }
            for bill in record["bills"]
            if bill["bill"]
        ],
    }


def _grade(index: int) -> str:
    return GRADES[index - 1] if index else ""


def _ms(seconds: Any) -> int | None:
    return int(seconds) * 1000 or None
