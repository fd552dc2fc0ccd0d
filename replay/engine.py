"""The pure core over files: same decisions as the service makes, without Kafka and Redis, all users in memory.

Where batches are cut cannot show: what is in force changes at rows of the input only (a market or policy event, the
first event of a new day of event time), and a batch is split there.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from decisions.decide import decide
from decisions.in_force import InForce
from decisions.outcome import Outcome
from features.record import DAY, RECORD, SCHEMA_VERSION
from messages.broadcasts import parse_broadcast
from messages.columns import Events
from messages.hashing import hash_column
from messages.inputs import MarketIndicator, PolicyPublished
from messages.texts import Texts
from messages.verdict import Refusal, Refused
from policy.policy import PolicyError, load
from replay.files import FileRecord
from replay.preparing import Prepared, source
from replay.report import Tally
from replay.sinks import ScoreRows, Sink
from scoring.model import Model

_FIRST_ROWS = 1_024
#: The same bytes without fields: copying whole records is much faster so.
_OPAQUE = np.dtype((np.void, RECORD.itemsize))


class Learner(Protocol):
    """`scoring.learner.Learner`, whose River takes seconds to import."""

    @property
    def examples(self) -> int:
        """How many were learned."""
        ...

    def learn_many(
        self, vectors: NDArray[np.floating[Any]], labels: Sequence[bool], scored: Sequence[int] | None = None
    ) -> None:
        """Matured examples: inputs as scored [n, inputs], True for a default, and when each was scored."""
        ...

    def champion(self, version: str | None = None) -> Model:
        """The model that should decide now."""
        ...


@dataclass(slots=True)
class Book:
    """All users' records, a row per user, and when each wants a timer."""

    records: NDArray[np.void] = field(default_factory=lambda: np.zeros(_FIRST_ROWS, RECORD))
    timers: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(_FIRST_ROWS, np.uint32))
    users: list[str] = field(default_factory=list)

    def open(self, users: Sequence[str]) -> None:
        """Give new users the next rows, with a new record each."""
        if not users:
            return
        known = len(self.users)
        self.users.extend(users)
        if len(self.users) > len(self.records):
            self._grow()
        self._reset(np.arange(known, len(self.users), dtype=np.uint32))

    def due(self, until: int) -> NDArray[np.uint32]:
        """Rows whose timer is at most `until` (s)."""
        # One less of each: 0, which stands for none, becomes the greatest of all and is never due.
        return np.flatnonzero(self.timers[: len(self.users)] - np.uint32(1) < until).astype(np.uint32)

    def settle(self, touched: NDArray[np.uint32], retired: Sequence[int] | NDArray[np.uint32]) -> None:
        """Take over the timers of changed rows; a retired user starts anew with the next event."""
        self.timers[touched] = self.records["next_timer"][touched]
        if len(retired):
            self._reset(np.asarray(retired, np.uint32))

    def _reset(self, rows: NDArray[np.uint32]) -> None:
        fresh = np.zeros(len(rows), RECORD)
        fresh["user"] = hash_column([self.users[row] for row in rows.tolist()])
        fresh["schema"] = SCHEMA_VERSION
        self.records.view(_OPAQUE)[rows] = fresh.view(_OPAQUE)
        self.timers[rows] = 0

    def _grow(self) -> None:
        size = max(2 * len(self.records), len(self.users))
        records, timers = np.zeros(size, RECORD), np.zeros(size, np.uint32)
        records.view(_OPAQUE)[: len(self.records)] = self.records.view(_OPAQUE)
        timers[: len(self.timers)] = self.timers
        self.records, self.timers = records, timers


class Engine:
    """Works off what was prepared of the rows of files, in their order.

    Args:
        in_force: what decides at the start.
        sink: takes decisions, scores and dead letters.
        learner: learns from labels as they mature; its newest model comes into force with the first event of each day
            of event time. None keeps the model of `in_force`.
        wants_scores: whether `sink.scores` is to be called.
    """

    def __init__(
        self,
        in_force: InForce,
        sink: Sink,
        learner: Learner | None = None,
        *,
        wants_scores: bool = True,
    ) -> None:
        self.in_force = in_force
        self.book = Book()
        self.tally = Tally()
        self.watermark = 0
        self._sink, self._learner, self._wants_scores = sink, learner, wants_scores
        self._newest = 0  # greatest event time so far, s
        self._learned = 0  # examples in the learner

    def work_off(self, prepared: Prepared) -> None:
        """Decide the next batch; batches come in the order in which they were prepared."""
        self.book.open(prepared.opened)
        events, refused, start = prepared.events, [*prepared.refused], 0
        for topic, record in prepared.broadcasts:
            stop = int(np.searchsorted(events.offset, record.offset))
            self._apply(events.slice(start, stop))
            start = stop
            refusal = self._take_broadcast(topic, record)
            refused += [refusal] if refusal is not None else []
        self._apply(events.slice(start, len(events)))
        refused.sort(key=lambda refusal: refusal.offset)
        self.tally.records += prepared.count
        self.tally.refused(refused)
        self._sink.dead_letters(refused)

    def finish(self, as_of: int | None = None) -> None:
        """Fire the timers up to `as_of` (s since 1970 UTC), where given: what the last event did not reach."""
        if as_of is not None:
            lateness = self.in_force.policy.terms.allowed_lateness
            self._renew_model(as_of)
            self._decide(Events.empty(), clock=(as_of + lateness) * 1000)
        self.tally.users = len(self.book.users)

    def _apply(self, events: Events) -> None:
        """Decide events, split where a new day of event time begins."""
        if not len(events):
            return
        newest = np.maximum.accumulate(np.maximum(events.columns["time"], self._newest))
        days = np.concatenate([[self._newest // DAY], newest // DAY])
        cuts = np.flatnonzero(np.diff(days)).tolist() if self._learner is not None else []
        for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
            if first in cuts:
                self._renew_model(int(newest[first]))
            if first < last:
                self._decide(events.slice(first, last))
        self._newest = int(newest[-1])

    def _decide(self, events: Events, clock: int = 0) -> None:
        latest = max(int(events.columns["time"].max()) if len(events) else 0, clock // 1000)
        until = max(self.watermark, latest - self.in_force.policy.terms.allowed_lateness)
        outcome = decide(
            self.book.records,
            events,
            self.book.users,
            self.in_force,
            self.watermark,
            clock=clock,
            rows_due=self.book.due(until),
        )
        self.watermark = outcome.watermark
        self.book.settle(outcome.touched, outcome.retired)
        self.tally.decided(outcome)
        self._sink.decisions(outcome.decisions)
        if self._wants_scores:
            self._sink.scores(_score_rows(events, self.book.users, outcome))
        if self._learner is not None and outcome.examples:
            self._learner.learn_many(
                np.stack([example.inputs for example in outcome.examples]),
                [example.label for example in outcome.examples],
                [example.scored_time for example in outcome.examples],
            )

    def _renew_model(self, time: int) -> None:
        learner = self._learner
        if learner is None or learner.examples == self._learned:
            return
        self._learned = learner.examples
        model = learner.champion(f"replay-{time // DAY}-{learner.examples}")
        self.in_force = dataclasses.replace(self.in_force, model=model)

    def _take_broadcast(self, topic: str, record: FileRecord) -> Refusal | None:
        origin = source(topic)
        event = parse_broadcast(origin, record)
        if isinstance(event, Refusal):
            return event
        if isinstance(event, MarketIndicator):
            self.in_force = dataclasses.replace(self.in_force, market=self.in_force.market.with_indicator(event))
        elif isinstance(event, PolicyPublished) and event.mode == "active":
            try:
                self.in_force = dataclasses.replace(self.in_force, policy=load(event.document))
            except PolicyError as error:
                return Refusal(origin, record.offset, record.key, record.value, Refused.CONTRACT, f"document: {error}")
        self.tally.broadcasts += 1
        return None


def replay(engine: Engine, batches: Iterable[Prepared], as_of: int | None = None) -> Tally:
    """Work off all batches and finish; see `Engine`."""
    for batch in batches:
        engine.work_off(batch)
    engine.finish(as_of)
    return engine.tally


def _score_rows(events: Events, users: Sequence[str], outcome: Outcome) -> ScoreRows:
    scores = outcome.scores
    columns = events.columns.take(scores.event)
    return ScoreRows(
        event_id=Texts.of(events.ids).take(scores.event).tolist(),
        user_id=[users[row] for row in columns["row"].tolist()],
        time=columns["time"],
        default_probability=scores.default_probability,
        spending_anomaly=scores.spending_anomaly,
        grade=scores.grade,
        limit=scores.limit,
    )
