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

from messages.columns import Events
from messages.verdict import Refusal

FOREVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Chunk:
    """Decoded records of one hand-over; `keys[i]` (s) is the greatest event time of the lane up to event i."""

    events: Events
    keys: NDArray[np.int64]
    refused: Sequence[Refusal]
    end: int  # one past the last offset
    arrived_ms: int  # when the broker got its first record; 0 where unknown
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
    arrived_ms: int
    acknowledgements: list[Callable[[], None]] = field(default_factory=list)

    def acknowledge(self) -> None:
        """Tell the transport which hand-overs are finished."""
        for acknowledge in self.acknowledgements:
            acknowledge()

    def halves(self) -> tuple["Batch", "Batch"]:
        """Two batches that together do what this one does; it has at least two events."""
        middle = len(self.events) // 2
        order = np.arange(len(self.events))
        earlier, later = self.events.take(order[:middle]), self.events.take(order[middle:])
        positions = dict(self.positions)
        for i, source in enumerate(later.sources):
            offsets = later.offset[later.source == i]
            if len(offsets):
                positions[source.topic] = int(offsets.min())
        return (
            Batch(earlier, self.refused, positions, self.arrived_ms),
            Batch(later, [], self.positions, self.arrived_ms, self.acknowledgements),
        )


class Lane:
    """What is handed over of one topic and not decided yet."""

    def __init__(self, start: int) -> None:
        self.end = start  # next offset that the transport will hand over
        self.waiting = 0  # events
        self._latest = 0  # greatest event time so far, seconds
        self._chunks: deque[Chunk] = deque()

    def add(
        self,
        events: Events,
        refused: Sequence[Refusal],
        end: int,
        arrived_ms: int,
        acknowledge: Callable[[], None],
        fetched_ms: int = 0,
    ) -> None:
        """Take in a hand-over that covers the offsets from `self.end` up to `end`."""
        times = events.columns["time"]
        keys = np.maximum.accumulate(np.maximum(times, self._latest)) if len(events) else times
        self._latest = int(keys[-1]) if len(events) else self._latest
        self._chunks.append(Chunk(events, keys, refused, end, arrived_ms, acknowledge, fetched_ms))
        self.waiting += len(events)
        self.end = end

    @property
    def latest(self) -> int:
        """Greatest event time handed over so far, seconds; 0 before the first."""
        return self._latest

    def keys(self, most: int) -> NDArray[np.int64]:
        """Sort keys of the first `most` waiting events, ascending, and when each was fetched: i8[2, n]."""
        parts, found = [np.zeros((2, 0), np.int64)], 0
        for chunk in self._chunks:
            waiting = chunk.keys[chunk.taken :]
            parts.append(np.stack([waiting, np.full(len(waiting), chunk.fetched_ms)]))
            found += len(waiting)
            if found >= most:
                break
        return np.concatenate(parts, axis=1)[:, :most]

    def cut(self, count: int, batch: Batch, pieces: list[Events]) -> int:
        """Move the first `count` events, and the refused records up to the next event, into `batch`.

        Returns the next offset to decide.
        """
        self.waiting -= count
        while self._chunks:
            chunk = self._chunks[0]
            more = min(count, len(chunk.events) - chunk.taken)
            if more:
                pieces.append(_slice(chunk.events, chunk.taken, chunk.taken + more))
                chunk.taken += more
                count -= more
                if batch.arrived_ms == 0 or 0 < chunk.arrived_ms < batch.arrived_ms:
                    batch.arrived_ms = chunk.arrived_ms
            whole = chunk.taken == len(chunk.events)
            position = chunk.end if whole else int(chunk.events.offset[chunk.taken])
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
    behind = [topic for topic in lanes if unread(topic)]
    holding = [topic for topic in behind if not lanes[topic].waiting]
    keys = [lane.keys(0 if holding else most) for lane in lanes.values()]
    merged, fetched = np.concatenate(keys, axis=1)
    vouched = np.ones(len(merged), np.bool_)
    for topic, lane in lanes.items():
        newest = lane.latest if lane.waiting else 0
        sure = (merged <= newest) | (fetched < (0 if topic in behind else seen_ms(topic)))
        if not sure.all() and topic not in behind:
            holding.append(topic)
        vouched &= sure
    lane_of = np.repeat(np.arange(len(keys)), [k.shape[1] for k in keys])
    order = np.argsort(merged, kind="stable")
    order = order[: int(np.argmin(np.append(vouched[order], False)))][:most]  # nothing overtakes what has to wait
    counts = np.bincount(lane_of[order], minlength=len(keys))

    batch, pieces = Batch(Events.empty(), [], {}, 0), list[Events]()
    for (topic, lane), count in zip(lanes.items(), counts.tolist(), strict=True):
        refused, finished = len(batch.refused), len(batch.acknowledgements)
        position = lane.cut(count, batch, pieces)
        if count or len(batch.refused) > refused or len(batch.acknowledgements) > finished:
            batch.positions[topic] = position
    if not batch.positions:
        return None, holding if any(lane.waiting for lane in lanes.values()) else []
    if pieces:  # they lie lane by lane, as `merged` does, without what was not chosen
        batch.events = Events.concatenate(pieces).take(np.searchsorted(np.sort(order), order))
    return batch, []


def _slice(events: Events, start: int, stop: int) -> Events:
    if start == 0 and stop == len(events):
        return events
    return events.take(np.arange(start, stop))
