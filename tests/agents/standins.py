"""Stand-ins for what `agents` is given: the plainest decisions that show whether an event was lost or applied twice."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.journal import KafkaJournal
from agents.meters import SilentMeters
from agents.ports import Deps
from agents.publishing import KafkaPublisher
from decisions.work import Work
from features.record import RECORD
from messages.columns import Events
from messages.decoding import Decoder
from messages.encoding import dead_letter
from messages.message import Message
from messages.money import Money
from store.contract import PartitionStore, Store

LATENESS = 60
TERMS = SimpleNamespace(allowed_lateness=LATENESS)


class Versions:
    """Policy, market and model that never change."""

    def __init__(self) -> None:
        self.now = SimpleNamespace(
            policy=SimpleNamespace(version="policy@1", terms=TERMS),
            market=SimpleNamespace(version="market@1"),
            model=SimpleNamespace(version="model@1"),
        )

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def read(self) -> None:
        pass

    def in_force(self) -> Any:
        return self.now

    async def recall(self, policy: str, market: str, model: str) -> Any:
        now = self.now
        known = (policy, market, model) == (now.policy.version, now.market.version, now.model.version)
        return now if known else None


class PlainResidents:
    """Every user stays resident; records are stored as they lie in memory."""

    def __init__(self, view: PartitionStore, _most: int) -> None:
        self._view = view
        self.clear()

    def clear(self) -> None:
        self.users: list[str] = []
        self._row: dict[str, int] = {}
        self.records = np.zeros(0, RECORD)

    async def rows(self, users: Sequence[str]) -> NDArray[np.uint32]:
        unknown = [user for user in dict.fromkeys(users) if user not in self._row]
        if unknown:
            loaded = await self._view.load(unknown)
            new = np.zeros(len(unknown), RECORD)
            for i, blob in enumerate(loaded):
                if blob is not None:
                    new[i] = np.frombuffer(blob, RECORD)[0]
            self._row.update({user: len(self.users) + i for i, user in enumerate(unknown)})
            self.users.extend(unknown)
            self.records = np.concatenate([self.records, new])
        return np.array([self._row[user] for user in users], np.uint32)

    def users_of(self, rows: NDArray[np.uint32]) -> list[str]:
        return [self.users[row] for row in rows.tolist()]

    def packed(self, rows: NDArray[np.uint32]) -> dict[str, bytes]:
        return {self.users[row]: self.records[row].tobytes() for row in rows.tolist()}

    def moved_timers(self, rows: NDArray[np.uint32]) -> dict[str, int]:
        return {self.users[row]: int(self.records[row]["next_timer"]) for row in rows.tolist()}

    def forget(self, rows: NDArray[np.uint32]) -> None:
        assert len(rows) == 0


@dataclasses.dataclass
class PlainOutcome:
    """What `decide` below found."""

    touched: NDArray[np.uint32]
    decisions: list[Message]
    watermark: int
    disposition: NDArray[np.uint8]
    caused: NDArray[np.int32]
    retired: Sequence[int] = ()
    counts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def decide(
    records: NDArray[np.void],
    events: Events,
    users: Sequence[str],
    in_force: Any,
    watermark: int,
    clock: int,
    rows_due: NDArray[np.uint32],
) -> PlainOutcome:
    """Count the user's events, and publish for each the count it makes and the place of its cause.

    A user's timer stands LATENESS + 1 s after the newest event; when it fires, before the event that makes it due is
    applied, that is published.
    """
    decisions: list[Message] = []
    watching = set(rows_due.tolist())
    rows = events.columns["row"]
    for i, row in enumerate(rows.tolist()):
        watermark = max(watermark, int(events.columns["time"][i]) - LATENESS)
        decisions += _fired(records, users, watching, watermark)
        record = records[row]
        record["events"] += 1
        record["last_seen"] = max(record["last_seen"], events.columns["time"][i])
        record["next_timer"] = record["last_seen"] + 1
        watching.add(row)
        source = events.sources[events.source[i]]
        body = {"user": users[row], "count": int(record["events"]), "cause": f"{source.topic}/{events.offset[i]}"}
        decisions.append(_message(users[row], f"{source.topic}/{source.partition}/{events.offset[i]}", body))
    watermark = max(watermark, clock // 1000 - LATENESS)
    decisions += _fired(records, users, watching, watermark)
    touched = np.unique(np.concatenate([rows, rows_due])).astype(np.uint32)
    caused = np.full(len(decisions), -1, np.int32)
    return PlainOutcome(touched, decisions, watermark, np.ones(len(events), np.uint8), caused)


def decide_each(works: Sequence[Work], in_force: Any) -> list[PlainOutcome]:
    """The same for several partitions."""
    outcomes = []
    for work in works:
        assert work.rows_due is not None
        outcomes.append(decide(*work[:3], in_force, work.watermark, work.clock, work.rows_due))
    return outcomes


def _fired(records: NDArray[np.void], users: Sequence[str], watching: set[int], watermark: int) -> list[Message]:
    """Fire the timers of these rows that are due, in their order."""
    due = [row for row in watching if 0 < records[row]["next_timer"] <= watermark]
    fired = []
    for row in sorted(due, key=lambda row: (records[row]["next_timer"], users[row])):
        body = {"user": users[row], "timer": int(records[row]["next_timer"])}
        fired.append(_message(users[row], f"timer/{users[row]}/{body['timer']}", body))
        records[row]["next_timer"] = 0
    return fired


def _message(user: str, identity: str, body: Mapping[str, Any]) -> Message:
    return Message("warnings", user.encode(), json.dumps(body).encode(), (("ce_id", identity.encode()),))


def deps(store: Store, options: Mapping[str, Any], **changes: Any) -> Deps:
    """A worker's parts with the stand-ins above."""
    parts: dict[str, Any] = {
        "store": store,
        "residents": PlainResidents,
        "decoder": Decoder(Money()),
        "decide": decide_each,
        "broadcasts": Versions(),
        "dead_letter": dead_letter,
        "time_mode": "event",
    }
    parts.update(changes)
    silent = parts.get("meters", SilentMeters())
    parts.setdefault("publisher", KafkaPublisher(options, silent))
    parts.setdefault("journal", KafkaJournal(options, silent))
    return Deps(**parts)
