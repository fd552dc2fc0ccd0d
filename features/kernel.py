"""Advancing the records of a batch: the compiled core of the product."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.applying import BILL_ISSUED, apply, arrive, clear_facts, state_facts
from features.catalogue import WIDTH
from features.lateness import next_timer
from features.ledger import SCRATCH, settle
from features.market import Market
from features.reading import FEATURE_ROW, named, read_record
from features.reading_account import market_index
from features.record import DAY, FEATURE_FIELDS, HOUR, RECORD, SCHEMA_VERSION, TEN_DAYS, TILES_90D
from features.terms import TERMS, Terms
from features.tiles import turn
from messages.columns import EVENT
from messages.compiled import Rows, compiled, part, signed
from messages.machine_code import begin, finish

#: The modules whose kernels a batch needs: those that take longest to compile, which are begun first, and the others.
_LARGE = "features.kernel", "features.reading", "messages.scanning"
_SMALL = "features.packing", "features.ledger", "messages.gathering"
KERNELS = (*_LARGE, *_SMALL)

DUPLICATE, APPLIED, APPLIED_LATE = 0, 1, 2
LABEL_NONE, LABEL_NEGATIVE, LABEL_POSITIVE = 0, 1, 2

_ROW = np.dtype(
    [("event", "i4"), ("at", "i4"), ("time", "i8"), ("row", "u4"), ("label", "u1"), ("opened", "?"), ("retire", "?")],
    align=True,
)


class Stretch(NamedTuple):
    """What `advance` takes of one partition."""

    records: NDArray[np.void]  # RECORD[u], advanced in place
    events: NDArray[np.void]  # EVENT[n] with `row` set
    watermark: int  # s
    clock: int = 0  # ms
    rows_due: NDArray[np.uint32] | None = None


class Span(NamedTuple):
    """Where one stretch lies in what came of all of them."""

    lines: slice  # of the m rows
    events: slice
    records: slice
    watermark: int  # s, after it


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a batch came to: m rows, one per applied event and per timer that came due, in the order of decisions.

    Where it is made of several stretches, each has its rows, events and records behind those of the one before, and
    their numbers go on. An event's row shows the record right after it. `time` is the event's or the timer's; features
    are read at the record's newest event where that is later. On a `retire` row the record's feature state was emptied
    right there (a later event starts anew), except `user` and the vector that decide() keeps (`example_scored`,
    `_schema`, `_inputs`): a user whose record ends with `events` 0 is to be deleted.
    """

    features: NDArray[np.float64]  # [m, WIDTH], standing and score columns 0
    event: NDArray[np.int32]  # [m] index of the event, -1 for a timer
    at: NDArray[np.int32]  # [m] index of the event before (or at) which the row comes; n: only the clock led there
    time: NDArray[np.int64]  # [m] s
    row: NDArray[np.uint32]  # [m] row of the record
    label: NDArray[np.uint8]  # [m] LABEL_: what the open training example turned out to be
    opened: NDArray[np.bool_]  # [m] a training example is opened at this row
    retire: NDArray[np.bool_]  # [m]
    disposition: NDArray[np.uint8]  # [n] DUPLICATE, APPLIED or APPLIED_LATE (too old for the tiles)
    spans: tuple[Span, ...]  # by stretch

    @property
    def watermark(self) -> int:
        """Seconds, after the only stretch."""
        (span,) = self.spans
        return span.watermark


def _forgotten() -> NDArray[np.bool_]:
    """Bytes of a record that retirement empties."""
    mask = np.zeros(RECORD.itemsize, np.bool_)
    fields = RECORD.fields
    assert fields is not None  # noqa: S101 - RECORD is structured
    for name in set(FEATURE_FIELDS) - {"user", "example_scored", "example_schema", "example_inputs"}:
        dtype, offset = fields[name][:2]
        mask[offset : offset + dtype.itemsize] = True
    return mask


_FORGOTTEN = np.flatnonzero(_forgotten())


@part
def _conclude(r: Any, f: Any, out: Any, t: int, event: int, is_bill: bool, terms: Any) -> None:
    """Close and open the training example and say whether the record may go, from what the row shows."""
    out.label = LABEL_NONE
    if r.example_opened != 0:
        if f.days_past_due >= terms.default_days:
            out.label = LABEL_POSITIVE
        elif t >= signed(r.example_opened) + terms.horizon:
            out.label = LABEL_NEGATIVE
        if out.label != LABEL_NONE:
            r.example_opened = 0
            r.example_event = 0
    unused = r.closed != 0 or r.opened == 0 or r.erasure != 0
    idle = t - signed(r.last_seen)
    settled = f.owed == 0.0 and f.unmet_bills == 0.0
    out.retire = unused and settled and (r.erasure != 0 or idle >= terms.retention)
    out.opened = is_bill and not out.retire and r.example_opened == 0 and f.days_past_due < terms.default_days
    if out.opened:
        r.example_opened = t
        r.example_event = event


@part
def _begin_timer(r: Any, f: Any, out: Any, terms: Any) -> int:
    """Start the row of the record's due timer; returns the time to read at."""
    time = signed(r.next_timer)
    clear_facts(f)
    f.event_is_timer = 1.0
    f.hour_of_day = (time + terms.utc_offset) % DAY // HOUR
    out.event = -1
    out.time = time
    return max(time, signed(r.last_seen))


@part
def _begin_event(r: Any, s: Any, e: Any, f: Any, out: Any, terms: Any) -> int:
    """Apply an event that is no repeat and start its row; returns its disposition."""
    r.schema = SCHEMA_VERSION
    if r.events == 0 or e.time < r.first_seen:
        r.first_seen = e.time
    r.last_seen = max(e.time, signed(r.last_seen))
    r.events += 1
    turn(r, signed(r.last_seen))
    state_facts(r, e, f, terms)
    apply(r, s, e, terms)
    out.time = e.time
    if e.time // TEN_DAYS <= signed(r.head_90d) - TILES_90D:
        r.late += 1
        return APPLIED_LATE
    return APPLIED


@part
def _empty(raw: Any, row: int, forgotten: Any) -> None:
    for k in range(len(forgotten)):
        raw[row, forgotten[k]] = 0


@compiled
def _advance(
    records: Annotated[Any, Rows(RECORD)],
    raw: Annotated[Any, Rows(np.uint8, 2)],
    events: Annotated[Any, Rows(EVENT)],
    running: Annotated[Any, Rows(np.int64)],
    waiting: Annotated[Any, Rows(np.uint32)],
    final: int,
    start: int,
    m: int,
    scratch: Annotated[Any, Rows(SCRATCH)],
    rows: Annotated[Any, Rows(FEATURE_ROW)],
    outs: Annotated[Any, Rows(_ROW)],
    disposition: Annotated[Any, Rows(np.uint8)],
    constants: Annotated[Any, Rows(TERMS)],
    regions: Annotated[Any, Rows(np.uint64)],
    indices: Annotated[Any, Rows(np.float64)],
    forgotten: Annotated[Any, Rows(np.int64)],
    reached: Annotated[Any, Rows(np.int64)],
) -> int:
    """Apply `events`, then wake the rows in `waiting`, from step `start` on, until done or no row is left to fill.

    Rows are filled from `m` on. Returns the step to go on with; `reached` gets the row.
    """
    s, terms, n = scratch[0], constants[0], len(events)
    for i in range(start, n + len(waiting)):
        applying = i < n
        e = events[i if applying else 0]
        row = e.row if applying else waiting[i - n]
        until = running[i] if applying else final
        r = records[row]
        while True:
            timer = r.next_timer != 0 and signed(r.next_timer) <= until
            if not timer and not applying:
                break
            if m == len(outs):
                reached[0] = m
                return i
            f, out = rows[m], outs[m]
            if timer:
                t = _begin_timer(r, f, out, terms)
            elif arrive(r, e):
                disposition[i] = _begin_event(r, s, e, f, out, terms)
                out.event = i
                out.at = i
                t = signed(r.last_seen)
            else:
                break
            out.row = row
            m += 1
            settle(r, s)
            read_record(r, s, f, t)
            f.market_index = market_index(r, regions, indices)
            _conclude(r, f, out, t, e.event, not timer and e.kind == BILL_ISSUED, terms)
            r.next_timer = next_timer(r, s, t if timer else max(t, until), terms)
            if out.retire:
                _empty(raw, row, forgotten)
            if not timer:
                break
    reached[0] = m
    return n + len(waiting)


class _Rows:
    """The growing output of one batch."""

    def __init__(self, capacity: int) -> None:
        self.features = np.zeros((capacity, WIDTH))
        self.out = np.zeros(capacity, _ROW)

    def grow(self) -> None:
        """Double the room."""
        self.features = np.concatenate([self.features, np.zeros_like(self.features)])
        self.out = np.concatenate([self.out, np.zeros_like(self.out)])


def _check(records: NDArray[np.void], events: NDArray[np.void], rows_due: NDArray[np.uint32] | None) -> None:
    """The compiled code does not check bounds: do it here, where it costs nothing."""
    if records.dtype != RECORD or events.dtype != EVENT:
        raise TypeError("records must be RECORD, events EVENT")
    if not records.flags.c_contiguous:
        raise ValueError("records must be contiguous: they are advanced in place")
    if len(events) and int(events["row"].max()) >= len(records):
        raise IndexError("an event's row is not among the records")
    if rows_due is not None and len(rows_due) and int(rows_due.max()) >= len(records):
        raise IndexError("a row of rows_due is not among the records")


def advance(
    records: NDArray[np.void],
    events: NDArray[np.void],
    watermark: int,
    terms: Terms,
    market: Market,
    clock: int = 0,
    rows_due: NDArray[np.uint32] | None = None,
) -> Advanced:
    """Apply EVENT[n] (with `row` set) to RECORD[u] in place, and wake the timers that come due.

    `watermark` is the partition's (s); `clock` the time in ms that this batch takes for now, 0 for event time only.
    Timers of the rows in `events` and in `rows_due` are looked at (None: of all rows). How a stream is cut into batches
    shows nowhere, as long as every row whose timer is due is given. Raises TypeError, ValueError or IndexError
    where the arrays do not fit.
    """
    return advance_each([Stretch(records, events, watermark, clock, rows_due)], terms, market)


def advance_each(stretches: Sequence[Stretch], terms: Terms, market: Market) -> Advanced:
    """Do for each of one or more partitions what `advance` does, into one set of rows."""
    rows = _Rows(sum(len(stretch.events) for stretch in stretches) + 64)
    constants = terms.arrays(), *market.arrays
    runs: list[_Run] = []
    for stretch in stretches:
        first = runs[-1].lines.stop if runs else 0
        runs.append(_run(stretch, rows, first, terms.allowed_lateness, constants))
    return _joined(stretches, rows, runs)


class _Run(NamedTuple):
    """One stretch that was worked off."""

    lines: slice
    order: NDArray[np.intp] | None  # of its rows, where they are not in order
    disposition: NDArray[np.uint8]
    watermark: int  # s


def _run(stretch: Stretch, rows: _Rows, first: int, lateness: int, constants: tuple[Any, Any, Any]) -> _Run:
    """Work off one stretch, whose rows begin at `first`."""
    records = stretch.records
    _check(records, stretch.events, stretch.rows_due)
    events = np.ascontiguousarray(stretch.events)
    running = np.maximum.accumulate(np.maximum(events["time"] - lateness, stretch.watermark))
    final = int(running[-1]) if len(events) else stretch.watermark
    if stretch.clock > 0:
        final = max(final, stretch.clock // 1_000 - lateness)
    raw = records.view(np.uint8).reshape(len(records), RECORD.itemsize)
    disposition = np.zeros(len(events), np.uint8)
    scratch, reached = np.zeros(1, SCRATCH), np.zeros(1, np.int64)
    waiting = _waiting(records, events, stretch.rows_due)
    i, m = 0, first
    while i < len(events) + len(waiting):
        i = _advance(
            records,
            raw,
            events,
            running,
            waiting,
            final,
            i,
            m,
            scratch,
            named(rows.features),
            rows.out,
            disposition,
            *constants,
            _FORGOTTEN,
            reached,
        )
        m = int(reached[0])
        if i < len(events) + len(waiting):
            rows.grow()
    return _Run(slice(first, m), _order(records, rows.out[first:m], running), disposition, final)


def _waiting(
    records: NDArray[np.void], events: NDArray[np.void], rows_due: NDArray[np.uint32] | None
) -> NDArray[np.uint32]:
    """Rows whose timers are looked at after the events; naming one twice does no harm."""
    if rows_due is None:
        return np.arange(len(records), dtype=np.uint32)
    return np.concatenate([events["row"], rows_due.astype(np.uint32)])


def _order(records: NDArray[np.void], out: NDArray[np.void], running: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """Timers' rows come where the watermark reached them: before that event, by time, then by the user's hash.

    Notes where that is. Returns None where no timer came due.
    """
    is_timer = out["event"] < 0
    timers, events = np.flatnonzero(is_timer), np.flatnonzero(~is_timer)
    if not len(timers):
        return None
    woken = out[timers]
    at = np.searchsorted(running, woken["time"])
    out["at"][timers] = at
    # Those of events are in order.
    first = np.lexsort((records["user"][woken["row"]], woken["time"], at))
    return np.insert(events, np.searchsorted(out["at"][events], at[first]), timers[first])


def _joined(stretches: Sequence[Stretch], rows: _Rows, runs: Sequence[_Run]) -> Advanced:
    """All rows, with numbers of events and records that go on from one stretch to the next."""
    total = runs[-1].lines.stop
    features, out = rows.features[:total], rows.out[:total]
    if any(run.order is not None for run in runs):
        order = np.arange(total)
        for run in runs:
            if run.order is not None:
                order[run.lines] = run.order + run.lines.start
        features, out = features.take(order, axis=0), out.take(order)
    event, at, row = out["event"].copy(), out["at"].copy(), out["row"].copy()
    spans, events, records = list[Span](), 0, 0
    for stretch, run in zip(stretches, runs, strict=True):
        if spans:
            row[run.lines] += np.uint32(records)
            at[run.lines] += events
            mine = event[run.lines]
            mine[mine >= 0] += events
        before_events, before_records = events, records
        events, records = events + len(stretch.events), records + len(stretch.records)
        spans.append(Span(run.lines, slice(before_events, events), slice(before_records, records), run.watermark))
    return Advanced(
        features=features,
        event=event,
        at=at,
        time=out["time"].copy(),
        row=row,
        label=out["label"].copy(),
        opened=out["opened"].copy(),
        retire=out["retire"].copy(),
        disposition=runs[0].disposition if len(runs) == 1 else np.concatenate([run.disposition for run in runs]),
        spans=tuple(spans),
    )


def begin_compiling(*more: str) -> list[Future[bytes]]:
    """Have other processes compile what is not on disk; each future ends with one module's code, or NotCompiled."""
    return [begin(import_module(module).__name__) for module in (*_LARGE, *more, *_SMALL)]


def compile_kernels(*more: str) -> None:
    """Have every kernel ready, before the first batch has to wait. Raises NotCompiled."""
    begin_compiling(*more)
    finish([*KERNELS, *more])
