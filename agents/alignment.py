"""What waits to be decided in one partition: a lane per topic, and batches cut from them in order of event time.

A topic is *caught up* when everything in its log has been handed over. Topics that are caught up hold nobody back. One
that is not vouches only up to the newest event time in its lane: what is still unread is at least as new. With an empty
lane it vouches for nothing, so the others wait: a timer must not fire before the repayment that is still unread.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from messages.columns import Events, Excerpt, gathered
from messages.verdict import Refusal

FOREVER: int = np.iinfo(np.int64).max
_NO_EVENTS = Events.empty()


@dataclass(slots=True)
class Chunk:
    """Decoded records of one hand-over; `keys[i]` (s) is the greatest event time of the lane up to event i."""

    events: Excerpt
    keys: NDArray[np.int64]
    refused: Sequence[Refusal]
    end: int  # one past the last offset
    acknowledge: Callable[[], None]
    fetched_ms: int  # when the response came that held them
    taken: int = 0  # events already cut
    refusals_taken: int = 0


@dataclass(slots=True)
class Batch:
    """Events in the order in which they are decided, and where that leaves every topic that moved."""

    events: Events
    refused: list[Refusal]
    positions: dict[str, int]  # next offset by topic
    acknowledgements: list[Callable[[], None]] = field(default_factory=list)

    def acknowledge(self) -> None:
        """Tell the transport which hand-overs are finished."""
        for acknowledge in self.acknowledgements:
            acknowledge()

    def halves(self) -> tuple["Batch", "Batch"]:
        """Two batches that together do what this one does; it has at least two events."""
        middle = len(self.events) // 2
        earlier, later = self.events.slice(0, middle), self.events.slice(middle, len(self.events))
        positions = dict(self.positions)
        for i, source in enumerate(later.sources):
            offsets = later.offset[later.source == i]
            if len(offsets):
                positions[source.topic] = int(offsets.min())
        return (
            Batch(earlier, self.refused, positions),
            Batch(later, [], self.positions, self.acknowledgements),
        )


class Lane:
    """What is handed over of one topic and not decided yet."""

    def __init__(self, start: int) -> None:
        self.end = start  # next offset that the transport will hand over
        self.waiting = 0  # events
        self._latest = 0  # greatest event time so far, seconds
        self._chunks: deque[Chunk] = deque()

    @property
    def has_some(self) -> bool:
        """Whether there is a hand-over that is not decided to its end, be it of refused records only."""
        return bool(self._chunks)

    def add(
        self,
        events: Excerpt,
        refused: Sequence[Refusal],
        end: int,
        acknowledge: Callable[[], None],
        fetched_ms: int = 0,
    ) -> None:
        """Take in a hand-over that covers the offsets from `self.end` up to `end`."""
        keys = np.maximum.accumulate(events.table.columns["time"][events.start : events.stop])
        if len(keys):
            if keys[0] < self._latest:
                keys = np.maximum(keys, self._latest)
            self._latest = int(keys[-1])
        self._chunks.append(Chunk(events, keys, refused, end, acknowledge, fetched_ms))
        self.waiting += len(events)
        self.end = end

    @property
    def latest(self) -> int:
        """Greatest event time handed over so far, seconds; 0 before the first."""
        return self._latest

    def keys(self, count: int) -> NDArray[np.int64]:
        """Sort keys of the first `count` waiting events, ascending."""
        parts: list[NDArray[np.int64]] = []
        found = 0
        for chunk in self._chunks:
            if found >= count:
                break
            parts.append(chunk.keys[chunk.taken : chunk.taken + count - found])
            found += len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int64), *parts])

    def first_beyond(self, bound: Callable[[int], int], most: int) -> tuple[int, int, int] | None:
        """The first of at most `most` waiting events that is newer than `bound(fetched_ms)` of its hand-over.

        Returns how many lie before it, its key, and when it was fetched; None where there is none.
        """
        before = 0
        for chunk in self._chunks:
            if before >= most:
                break
            sure = int(np.searchsorted(chunk.keys[chunk.taken :], bound(chunk.fetched_ms), side="right"))
            before += sure
            if chunk.taken + sure < len(chunk.keys):
                return before, int(chunk.keys[chunk.taken + sure]), chunk.fetched_ms
        return None

    def older(self, key: int, most: int, *, same: bool) -> int:
        """How many of the first `most` waiting events are older than `key`, or as old where `same`."""
        return int(np.searchsorted(self.keys(most), key, side="right" if same else "left"))

    def cut(self, count: int, batch: Batch, pieces: list[Excerpt]) -> int:
        """Move the first `count` events, and the refused records up to the next event, into `batch`.

        Returns the next offset to decide.
        """
        self.waiting -= count
        while self._chunks:
            chunk = self._chunks[0]
            more = min(count, len(chunk.events) - chunk.taken)
            if more:
                pieces.append(chunk.events.slice(chunk.taken, chunk.taken + more))
                chunk.taken += more
                count -= more
            whole = chunk.taken == len(chunk.events)
            position = chunk.end if whole else int(chunk.events.table.offset[chunk.events.start + chunk.taken])
            while chunk.refusals_taken < len(chunk.refused) and (
                whole or chunk.refused[chunk.refusals_taken].offset < position
            ):
                batch.refused.append(chunk.refused[chunk.refusals_taken])
                chunk.refusals_taken += 1
            if not whole:
                return position
            batch.acknowledgements.append(chunk.acknowledge)
            self._chunks.popleft()
        return self.end


def cut_batch(
    lanes: Mapping[str, Lane],
    unread: Callable[[str], int],
    most: int,
    seen_ms: Callable[[str], int] = lambda _topic: FOREVER,
) -> tuple[Batch | None, list[str]]:
    """The next batch of at most `most` events, or None; and the topics that the others have to wait for.

    `unread(topic)` counts the records of a topic's log that are not in its lane, as of `seen_ms(topic)`: of events
    that were fetched since, the topic vouches only for those up to the newest one in its lane. Events of one topic keep
    their order of offsets; between topics the event time decides, then the order of `lanes`.
    """
    waiting = {topic: lane for topic, lane in lanes.items() if lane.has_some}
    if not waiting:
        return None, []
    vouchers = [
        _Voucher(topic, lane.latest if lane.waiting else 0, 0 if behind else seen)
        for topic, lane in lanes.items()
        if (behind := unread(topic)) or (seen := seen_ms(topic)) != FOREVER
    ]
    counts, holding = _certain(list(waiting.values()), vouchers, most)
    keys = [lane.keys(count) for lane, count in zip(waiting.values(), counts, strict=True) if count]
    order: NDArray[np.int64] | None = None
    if len(keys) > 1:
        order = np.concatenate(keys).argsort(kind="stable")
        if len(order) > most:
            order = order[:most]
            lane_of = np.repeat(np.flatnonzero(counts), [len(part) for part in keys])
            counts = np.bincount(lane_of[order], minlength=len(counts)).tolist()
            order = np.searchsorted(np.sort(order), order)  # without those that were not chosen

    batch, pieces = Batch(_NO_EVENTS, [], {}), list[Excerpt]()
    for (topic, lane), count in zip(waiting.items(), counts, strict=True):
        refused, finished = len(batch.refused), len(batch.acknowledgements)
        position = lane.cut(count, batch, pieces)
        if count or len(batch.refused) > refused or len(batch.acknowledgements) > finished:
            batch.positions[topic] = position
    if not batch.positions:
        return None, holding
    if pieces:
        batch.events = gathered(pieces, order)
    return batch, []


@dataclass(frozen=True, slots=True)
class _Voucher:
    """For which events only a topic vouches: those up to `newest` (s), and those that were fetched before `seen_ms`."""

    topic: str
    newest: int
    seen_ms: int


def _certain(lanes: Sequence[Lane], vouchers: Sequence[_Voucher], most: int) -> tuple[list[int], list[str]]:
    """By lane, how many events come before the first for which some topic does not vouch; and those topics."""
    counts = [min(lane.waiting, most) for lane in lanes]
    if not vouchers:  # everybody vouches for everything
        return counts, []

    def bound(fetched_ms: int) -> int:
        return min((voucher.newest for voucher in vouchers if voucher.seen_ms <= fetched_ms), default=FOREVER)

    first: tuple[int, int, int] | None = None  # key, lane, when fetched
    for number, lane in enumerate(lanes):
        found = lane.first_beyond(bound, most) if lane.waiting else None
        if found is not None:
            counts[number] = min(found[0], most)
            first = min(first or (FOREVER, 0, 0), (found[1], number, found[2]))
    if first is None:
        return counts, []
    key, edge, fetched_ms = first
    for number, lane in enumerate(lanes):
        if counts[number] and number != edge:
            counts[number] = lane.older(key, counts[number], same=number < edge)
    return counts, [v.topic for v in vouchers if v.seen_ms <= fetched_ms and v.newest < key]
