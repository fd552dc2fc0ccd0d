"""Judging hand-made feature rows: the real policy, with a model that says what the test wants."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURES, INDEX, WIDTH
from features.kernel import Advanced
from features.record import DAY, RECORD
from messages.columns import EVENT, Events, Source
from messages.vocabulary import Kind
from policy.judge import judge
from policy.policy import Policy, default_text, load, load_default
from policy.row import Draft
from policy.standing import gather, scatter

START = 19_700 * DAY
DEFAULTS = np.array([feature.default for feature in FEATURES])


@dataclass(frozen=True)
class Told:
    """A model that reads its probability from a feature that nothing else uses here."""

    name: str = "told"
    version: str = "told-1"
    warming: bool = False
    inputs: tuple[str, ...] = ("owed",)
    schema_hash: int = 7

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return features[:, INDEX["events_total"]].copy()

    def weigh(self, features: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        return ("owed", "account_age_days"), np.tile([1.0, -0.5], (len(features), 1))

    def contributions(self, row: NDArray[np.float64]) -> list[tuple[str, float]]:
        return [("owed", 1.0), ("account_age_days", -0.5)]


@dataclass(frozen=True)
class Line:
    """One row to judge."""

    kind: Kind
    day: float
    amount: int
    retire: bool
    features: dict[str, float]


def line(
    kind: Kind, day: float, amount: int = 0, probability: float = 0.05, retire: bool = False, **features: float
) -> Line:
    return Line(kind, day, amount, retire, {"events_total": probability, **features})


class Case:
    """One user before a policy. Features not named have their catalogue's default, or those of `usual`."""

    def __init__(self, policy: Policy | None = None, **usual: float) -> None:
        self.policy = policy or load_default()
        self.model = Told()
        self.records: NDArray[np.void] = np.zeros(1, RECORD)
        self.usual = {
            "consents_to_automation": 1.0,
            "consents_to_increases": 1.0,
            "income_estimate": 2_000_000.0,
            "expected_cash_in_30d": 2_000_000.0,
            "judged_bills": 1.0,
            **usual,
        }
        self.rounds = 0

    @property
    def record(self) -> np.void:
        record: np.void = self.records[0]
        return record

    def opened(self, limit: int = 1_000_000) -> "Case":
        """The same after its account was opened on day 0."""
        self.judge(line(Kind.ACCOUNT_OPENED, 0, amount=limit))
        return self

    def row(self, kind: Kind, day: float, **rest: Any) -> list[Draft]:
        """Judge one row."""
        return self.judge(line(kind, day, **rest))

    def judge(self, *lines: Line) -> list[Draft]:
        """Judge rows as one batch."""
        count = len(lines)
        features = np.tile(DEFAULTS, (count, 1))
        for position, one in enumerate(lines):
            values = {
                **self.usual,
                "event_kind": float(one.kind),
                "event_is_purchase": float(one.kind == Kind.PURCHASE),
                "event_amount": float(one.amount),
                **one.features,
            }
            for name, value in values.items():
                features[position, INDEX[name]] = value
        ticks = np.array([one.kind == Kind.TICK for one in lines])
        columns = np.zeros(count, EVENT)
        columns["kind"] = [one.kind for one in lines]
        columns["amount"] = [one.amount for one in lines]
        events = Events(
            columns=columns,
            users=["u"] * count,
            ids=[f"e{position}" for position in range(count)],
            references=["ref"] * count,
            sources=(Source("purchases", 0),),
            source=np.zeros(count, np.uint16),
            offset=np.arange(count),
            arrived=np.zeros(count, np.int64),
        )
        assert features.shape[1] == WIDTH
        advanced = Advanced(
            features=features,
            event=np.where(ticks, -1, np.arange(count)).astype(np.int32),
            at=np.arange(count, dtype=np.int32),
            time=np.array([int(START + one.day * DAY) for one in lines]),
            row=np.zeros(count, np.uint32),
            label=np.zeros(count, np.uint8),
            opened=np.zeros(count, np.bool_),
            retire=np.array([one.retire for one in lines]),
            disposition=np.ones(count, np.uint8),
            spans=(),
        )
        standing = gather(self.records, np.zeros(1, np.intp))
        judged = judge(standing, np.zeros(count, np.intp), advanced, events, ["u"], self.policy, self.model)
        scatter(self.records, np.zeros(1, np.intp), standing)
        self.rounds = judged.rounds
        return [draft for _, draft in judged.drafts]

    def warming(self) -> "Case":
        """The same with a model that is still warming."""
        self.model = replace(self.model, warming=True)
        return self


def changed(*replacements: tuple[str, str]) -> Policy:
    """The default policy with parts of its text replaced."""
    text = default_text()
    for old, new in replacements:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return load(text)


def warnings(drafts: list[Draft]) -> list[tuple[str, str, str]]:
    """(trigger, status, severity) of the warnings."""
    return [
        (draft.body["trigger"], draft.body["status"], draft.body["severity"])
        for draft in drafts
        if draft.topic == "warnings"
    ]


def limits(drafts: list[Draft]) -> list[tuple[str, int, int]]:
    """(direction, previous, new) of the limit adjustments."""
    return [
        (draft.body["direction"], draft.body["previous_limit"], draft.body["new_limit"])
        for draft in drafts
        if draft.topic == "limit-adjustments"
    ]


def bodies(drafts: list[Draft], topic: str) -> list[dict[str, Any]]:
    """The bodies of one topic's drafts."""
    return [draft.body for draft in drafts if draft.topic == topic]
