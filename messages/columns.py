"""A batch of user events as columns: what the compiled core works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.texts import Texts

#: One accepted user event. A field that the event's kind does not carry is zero; `missing` says which optional ones
#: were absent. Amounts are in minor units of the book's currency (converted at decoding), times in seconds (UTC).
#: Strings are stable 64-bit hashes (`messages.hashing.stable_hash`), 0 for absent.
EVENT = np.dtype(
    [
        ("kind", "u1"),  # messages.vocabulary.Kind
        ("category", "u1"),  # index in CATEGORIES: purchase, browse
        ("status", "u1"),  # index in FUND_STATUSES (provident fund) or VERDICTS (feedback)
        ("method", "u1"),  # index in PAYMENT_METHODS: repayment
        ("flags", "u1"),  # the FLAG_ bits below
        ("present", "u1"),  # the PRESENT_ bits below
        ("instalments", "u2"),
        ("months", "u2"),  # provident fund: months contributed
        ("row", "u4"),  # row of the user's record in the batch's records; set by the caller of `advance`
        ("time", "i8"),  # s since 1970 UTC (the contract's milliseconds, floored)
        ("event", "u8"),  # hash of event_id, never 0
        ("amount", "i8"),  # amount, amount due, monthly contribution, starting or requested limit
        ("minimum", "i8"),  # bill: minimum due
        ("income", "i8"),  # profile: monthly income
        ("until", "i8"),  # bill: due time; reschedule: new due time; pause: end (s since 1970 UTC)
        ("bill", "u8"),  # hash of bill_id
        ("merchant", "u8"),
        ("device", "u8"),
        ("city", "u8"),
        ("region", "u8"),
        ("employer", "u8"),
    ]
)


FLAG_GREEN = 1
FLAG_ENERGY_INTENSIVE = 2
FLAG_CARRIES_BALANCE = 4
FLAG_SUCCEEDED = 8  # login
FLAG_CHARGE_BACK = 16
FLAG_CONSENTS_TO_INCREASES = 32
FLAG_CONSENTS_TO_AUTOMATION = 64

PRESENT_INCOME = 1
PRESENT_REGION = 2
PRESENT_CONSENT_TO_INCREASES = 4
PRESENT_CONSENT_TO_AUTOMATION = 8

MAX_SOURCES = 1 << 16


class Source(NamedTuple):
    """One partition of one topic incarnation (or a file); with an offset it names the cause of a decision."""

    topic: str
    partition: int
    epoch: str = ""


@dataclass(slots=True)
class Events:
    """Accepted events of one batch, in the order in which they are applied; every member has n entries.

    `references[i]` is the raw id that a reply has to name (request_id of a limit request, bill_id of a bill or a
    repayment, warning_id of a feedback), else "".
    """

    columns: NDArray[np.void]  # EVENT
    users: Sequence[str]
    ids: Sequence[str]
    references: Sequence[str]
    sources: tuple[Source, ...]
    source: NDArray[np.uint16]  # index in `sources`
    offset: NDArray[np.int64]
    arrived: NDArray[np.int64]  # timestamp of the record, ms; 0 or less where unknown

    def __len__(self) -> int:
        return len(self.columns)

    @staticmethod
    def empty() -> "Events":
        """No events, of no source."""
        return Events(np.zeros(0, EVENT), [], [], [], (), np.zeros(0, np.uint16), *np.zeros((2, 0), np.int64))

    def take(self, indices: NDArray[np.integer]) -> "Events":
        """The events at `indices` (integer [k]), in that order; the columns are copied."""
        return Events(
            # Not columns[indices]: numpy copies the rows of a structured array field by field, unless it is `take`.
            columns=self.columns.take(indices),
            users=Texts.of(self.users).take(indices),
            ids=Texts.of(self.ids).take(indices),
            references=Texts.of(self.references).take(indices),
            sources=self.sources,
            source=self.source.take(indices),
            offset=self.offset.take(indices),
            arrived=self.arrived.take(indices),
        )

    def slice(self, start: int, stop: int) -> "Events":
        """The events from `start` up to `stop`; the columns are views of these."""
        return Events(
            columns=self.columns[start:stop],
            users=self.users[start:stop],
            ids=self.ids[start:stop],
            references=self.references[start:stop],
            sources=self.sources,
            source=self.source[start:stop],
            offset=self.offset[start:stop],
            arrived=self.arrived[start:stop],
        )

    @staticmethod
    def concatenate(parts: Sequence["Events"]) -> "Events":
        """All events of `parts`, one part after the other; equal sources become one.

        Raises ValueError where there are more than 65,536 sources.
        """
        if not parts:
            return Events.empty()
        if len(parts) == 1:
            return parts[0]
        sources, renumbered = parts[0].sources, [part.source for part in parts]
        if any(part.sources is not sources for part in parts):
            numbers, sources = numbered([source for part in parts for source in part.sources])
            ends = np.cumsum([len(part.sources) for part in parts]).tolist()
            renumbered = [
                numbers[end - len(part.sources) : end][part.source]
                for part, end in zip(parts, ends, strict=True)
                if len(part)
            ]
        return Events(
            columns=_joined([part.columns for part in parts]),
            users=Texts.concatenate([Texts.of(part.users) for part in parts]),
            ids=Texts.concatenate([Texts.of(part.ids) for part in parts]),
            references=Texts.concatenate([Texts.of(part.references) for part in parts]),
            sources=sources,
            source=np.concatenate([np.zeros(0, np.uint16), *renumbered]),
            offset=np.concatenate([part.offset for part in parts]),
            arrived=np.concatenate([part.arrived for part in parts]),
        )


@dataclass(slots=True)
class Excerpt:
    """Events that lie side by side in a table of them, from `start` up to `stop`: nothing is copied or cut out yet.

    Not frozen, though nothing changes it: each fetch makes dozens, and that would take four times as long.
    """

    table: Events
    start: int
    stop: int

    @staticmethod
    def of(table: Events) -> "Excerpt":
        """All of a table."""
        return Excerpt(table, 0, len(table))

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def events(self) -> Events:
        """The events; the columns are views of the table's."""
        table = self.table
        return table if len(self) == len(table) else table.slice(self.start, self.stop)

    def slice(self, start: int, stop: int) -> "Excerpt":
        """Those from `start` up to `stop`, counted from this one's first."""
        return Excerpt(self.table, self.start + start, self.start + stop)


def gathered(excerpts: Sequence[Excerpt], order: NDArray[np.integer] | None = None) -> Events:
    """The events of `excerpts`, one after the other, or in an `order` (integer [n]) of these.

    Each event is copied once where all are of one table, as what comes with one fetch is; of several, what is taken of
    each is joined. Raises ValueError where there are more than 65,536 sources.
    """
    if len(excerpts) == 1 and order is None:
        return excerpts[0].events
    if not excerpts:
        return Events.empty()
    rows = np.concatenate([np.arange(excerpt.start, excerpt.stop) for excerpt in excerpts])
    tables = {id(excerpt.table): excerpt.table for excerpt in excerpts}
    if len(tables) == 1:
        return excerpts[0].table.take(rows if order is None else rows.take(order))
    whose = np.repeat([id(excerpt.table) for excerpt in excerpts], [len(excerpt) for excerpt in excerpts])
    if order is not None:
        rows, whose = rows.take(order), whose.take(order)
    places = [np.flatnonzero(whose == table) for table in tables]
    parts = [table.take(rows.take(at)) for table, at in zip(tables.values(), places, strict=True)]
    return Events.concatenate(parts).take(np.concatenate(places).argsort())  # back to where each belongs


def numbered(sources: Sequence[Source]) -> tuple[NDArray[np.uint16], tuple[Source, ...]]:
    """For each of `sources` its index in the tuple of different ones. Raises ValueError for more than 65,536."""
    different = dict.fromkeys(sources)
    if len(different) > MAX_SOURCES:
        raise ValueError(f"a batch may have at most {MAX_SOURCES} sources, not {len(different)}")
    number = {source: i for i, source in enumerate(different)}
    return np.array([number[source] for source in sources], np.uint16), tuple(different)


def _joined(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Arrays of one layout, one after the other, as bytes: numpy joins structured ones field by field."""
    layout = parts[0].dtype
    return np.concatenate([part.view(f"V{layout.itemsize}") for part in parts]).view(layout)
