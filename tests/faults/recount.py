"""All batches of a partition, decided again from the topics as the journal says they interleaved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from agents.broadcasts import Book as Versions
from agents.meters import SilentMeters
from app.build import signing_key
from app.core import decoder, first_in_force
from app.settings import Settings
from decisions.decide import decide
from decisions.in_force import InForce
from features.market import Market
from messages.columns import Events, Source
from messages.encoding import dead_letter
from messages.journal import JournalEntry, TopicRange, journal_entry
from messages.message import Message
from messages.records import RawRecords
from messages.vocabulary import Kind
from policy.policy import Policy
from replay.engine import Book
from replay.preparing import Rows
from scoring.model import Model
from store.contract import LimitView
from store.projection import limit_views
from tests.faults.findings import Findings
from tests.faults.logs import Log, Logs, hashes, sampled

#: Whose an event is and which, kept of all events of a partition.
_SEEN = np.dtype([("row", "u4"), ("event", "u8")])


class Undecidable(Exception):
    """A batch cannot be decided again; the message says why. What follows on it cannot either."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A message that has to be published."""

    topic: str
    key: bytes
    hashes: tuple[bytes, bytes, bytes]


@dataclass(slots=True)
class Recounted:
    """What had to come out. `decided` and `letters` are by id, in the order decided.

    `seen` names every accepted event; `lives` has the raw events of sampled users, in the order decided; `unfit` are
    users of whom something was forgotten on the way.
    """

    book: Book = field(default_factory=Book)
    watermark: int = 0
    in_force: InForce | None = None
    decided: dict[str, Expected] = field(default_factory=dict)
    letters: dict[str, Expected] = field(default_factory=dict)
    limits: dict[str, LimitView] = field(default_factory=dict)
    seen: list[NDArray[np.void]] = field(default_factory=list)
    lives: dict[str, list[bytes]] = field(default_factory=dict)
    unfit: set[str] = field(default_factory=set)


def entries_of(logs: Logs, findings: Findings) -> list[JournalEntry]:
    """The journal's entries by number, each once; what is missing or told in two ways is a difference."""
    values: dict[int, bytes] = {}
    entries: dict[int, JournalEntry] = {}
    where = f"journal[{logs.partition}]"
    for place, value in enumerate(logs.journal):
        try:
            entry = journal_entry(value)
        except ValidationError as error:
            findings.differs(f"{where}: message {place} is no entry: {error}")
            continue
        if entry.partition != logs.partition:
            findings.differs(f"{where}: message {place} is of partition {entry.partition}")
        elif values.setdefault(entry.number, value) != value:
            findings.differs(f"{where}: entry {entry.number} was published with different bytes")
        else:
            entries[entry.number] = entry
    for first, last in _holes(sorted(entries)):
        findings.differs(f"{where}: entries {first} to {last} are missing")
    return [entries[number] for number in sorted(entries)]


def grouped(entries: Sequence[JournalEntry], most: int) -> Iterator[list[JournalEntry]]:
    """Entries to be decided together: of the same versions, at most `most` events, and only the last with a clock.

    Where a batch is cut must not show, and large batches are decided several times as fast.
    """
    group: list[JournalEntry] = []
    for entry in entries:
        if group and (
            group[-1].clock
            or group[-1].reset
            or entry.reset
            or (entry.policy, entry.market, entry.model) != (group[-1].policy, group[-1].market, group[-1].model)
            or sum(len(other.order) for other in group) + len(entry.order) > most
        ):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _holes(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    previous = 0
    for number in numbers:
        if number > previous + 1:
            yield previous + 1, number - 1
        previous = number


def check_chain(logs: Logs, entries: Sequence[JournalEntry], findings: Findings) -> None:
    """Every offset of every log belongs to one entry; what belongs to none is lost, to two applied twice."""
    reached: dict[str, tuple[str, int]] = {}
    for entry in entries:
        for piece in entry.topics:
            epoch, offset = reached.get(piece.topic, (piece.epoch, _begin(logs, piece)))
            if epoch != piece.epoch:
                _check_end(logs, piece.topic, epoch, offset, findings)
                offset = _begin(logs, piece)
            where = f"{piece.topic}[{logs.partition}], entry {entry.number}"
            if entry.reset:
                pass  # somebody wanted it there
            elif piece.begin > offset:
                findings.differs(f"{where}: LOST offsets {offset} to {piece.begin - 1}")
            elif piece.begin < offset:
                findings.differs(f"{where}: TWICE offsets {piece.begin} to {offset - 1}")
            reached[piece.topic] = piece.epoch, piece.end
    for topic, epoch in logs.epochs.items():
        known, offset = reached.get(topic, (epoch, logs.inputs[topic, epoch].begin))
        if known != epoch:
            _check_end(logs, topic, known, offset, findings)
            offset = logs.inputs[topic, epoch].begin
        _check_end(logs, topic, epoch, offset, findings)


def _begin(logs: Logs, piece: TopicRange) -> int:
    log = logs.inputs.get((piece.topic, piece.epoch))
    return piece.begin if log is None else log.begin


def _check_end(logs: Logs, topic: str, epoch: str, offset: int, findings: Findings) -> None:
    log = logs.inputs.get((topic, epoch))
    where = f"{topic}[{logs.partition}]" + ("" if epoch == logs.epochs[topic] else f" of epoch {epoch!r}")
    if log is None:
        findings.differs(f"{where}: its records were not saved")
    elif offset < log.end:
        findings.differs(f"{where}: LOST offsets {offset} to {log.end - 1}, which no entry has")
    elif offset > log.end:
        findings.differs(f"{where}: decided up to {offset}, but the log ends at {log.end}")


class Recount:
    """Decides the entries of one partition again, in their order. `share` is the part of users to be sampled."""

    def __init__(self, settings: Settings, logs: Logs, findings: Findings, share: float) -> None:
        self._logs, self._findings, self._share = logs, findings, share
        self._decoder = decoder(settings)
        self._policies, self._markets, self._models = _versions(settings, logs)
        self._rows, self._sampled = Rows(), np.zeros(0, np.bool_)  # by row
        self.found = Recounted()

    def decide(self, group: Sequence[JournalEntry]) -> None:
        """Decide entries that follow on each other as one batch, see `grouped`. Raises Undecidable."""
        found, findings = self.found, self._findings
        if group[0].reset:
            return  # the position was set by hand, nothing was decided
        in_force = self._in_force(group[0])
        lateness, before, clock = in_force.policy.terms.allowed_lateness, found.watermark, group[-1].clock
        parts = [self._events(entry) for entry in group]
        until = self._reach(group, parts, lateness)
        events = Events.concatenate([part for part in parts if len(part)])
        book = found.book
        events.columns["row"], opened = self._rows.of(events.users)
        book.open(opened)
        outcome = decide(book.records, events, book.users, in_force, before, clock=clock, rows_due=book.due(until))
        self._note(events)
        found.watermark, found.in_force = outcome.watermark, in_force
        book.settle(outcome.touched, outcome.retired)
        applied = outcome.disposition != 0
        findings.applied += int(np.count_nonzero(applied))
        findings.duplicates += int(np.count_nonzero(~applied))
        findings.late += _late(events, applied, before, lateness)
        for message in outcome.decisions:
            self._expect(found.decided, message, "ce_id")
        for view in limit_views(outcome.decisions):
            _project(found.limits, view)

    def _reach(self, group: Sequence[JournalEntry], parts: Sequence[Events], lateness: int) -> int:
        """The watermark after the group; each entry must tell the one after itself."""
        watermark = self.found.watermark
        for entry, events in zip(group, parts, strict=True):
            newest = max(int(events.columns["time"].max()) if len(events) else 0, entry.clock // 1_000)
            watermark = max(watermark, newest - lateness)
            if watermark != entry.watermark:
                where = f"journal[{entry.partition}], entry {entry.number}"
                self._findings.differs(f"{where}: watermark {entry.watermark}, not {watermark}")
        return watermark

    def _in_force(self, entry: JournalEntry) -> InForce:
        try:
            return InForce(self._policies[entry.policy], self._models[entry.model], self._markets[entry.market])
        except KeyError as error:
            raise Undecidable(f"entry {entry.number}: version {error} was never published") from error

    def _events(self, entry: JournalEntry) -> Events:
        """The accepted events of an entry in the order decided; dead letters of the others are noted."""
        order, parts = np.frombuffer(entry.order.encode(), np.uint8) - ord("0"), []
        for index, piece in enumerate(entry.topics):
            log = self._logs.inputs.get((piece.topic, piece.epoch), Log())
            records = log.records(piece.begin, piece.end)
            count = 0
            if records:
                decoded = self._decoder.decode(
                    Source(piece.topic, entry.partition, piece.epoch), RawRecords.of(records)
                )
                for refusal in decoded.refused:
                    self._expect(self.found.letters, dead_letter(refusal), "id")
                count = len(decoded.events)
                parts += [decoded.events] if count else []
            if count != np.count_nonzero(order == index):
                told = np.count_nonzero(order == index)
                raise Undecidable(
                    f"entry {entry.number}, {piece.topic}, offsets {piece.begin} to {piece.end - 1}: "
                    f"{count} events, the journal has {told}"
                )
        # Events lie topic by topic; the k-th mention of a topic is its k-th event.
        return Events.concatenate(parts).take(np.argsort(np.argsort(order, kind="stable"), kind="stable"))

    def _expect(self, where: dict[str, Expected], message: Message, name: str) -> None:
        identity = dict(message.headers)[name].decode()
        expected = Expected(message.topic, message.key or b"", hashes(message.key, message.value, message.headers))
        if where.setdefault(identity, expected) is not expected:
            self._findings.differs(f"{message.topic}: id {identity} was decided twice, for {message.key!r}")

    def _note(self, events: Events) -> None:
        """Keep what the checks without the kernels need."""
        found, users = self.found, self.found.book.users
        if len(users) > len(self._sampled):
            more = [sampled(user, self._share) for user in users[len(self._sampled) :]]
            self._sampled = np.concatenate([self._sampled, np.array(more, np.bool_)])
        seen = np.zeros(len(events), _SEEN)
        seen["row"], seen["event"] = events.columns["row"], events.columns["event"]
        found.seen.append(seen)
        for i in np.flatnonzero(events.columns["kind"] == Kind.ERASURE_REQUESTED).tolist():
            found.unfit.add(events.users[i])
        for i in np.flatnonzero(self._sampled[seen["row"]]).tolist():
            source, offset = events.sources[events.source[i]], int(events.offset[i])
            (record,) = self._logs.inputs[source.topic, source.epoch].records(offset, offset + 1)
            found.lives.setdefault(events.users[i], []).append(record.value or b"")


def _versions(settings: Settings, logs: Logs) -> tuple[dict[str, Policy], dict[str, Market], dict[str, Model]]:
    """Every policy, market and model that was in force at some time, by version."""
    book = Versions(first_in_force(settings), signing_key(settings), SilentMeters())
    seen = [book.in_force]
    for record in logs.broadcasts:
        book.apply(record)
        seen.append(book.in_force)
    return (
        {now.policy.version: now.policy for now in seen},
        {now.market.version: now.market for now in seen},
        {now.model.version: now.model for now in seen},
    )


def _late(events: Events, applied: NDArray[np.bool_], watermark: int, lateness: int) -> int:
    """Applied events that came behind the watermark of their moment."""
    if not len(events):
        return 0
    times = events.columns["time"]
    running = np.maximum.accumulate(np.concatenate([[watermark], times - lateness]))[:-1]
    return int(np.count_nonzero(applied & (times < np.maximum(running, watermark))))


def _project(limits: dict[str, LimitView], view: LimitView) -> None:
    known = limits.get(view.user)
    if view.forgotten:
        if known is not None and known.version <= view.version:
            del limits[view.user]
    elif known is None or known.version < view.version:
        limits[view.user] = view
