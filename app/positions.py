"""Where every partition goes on in its topics, held against the logs; and how an operator moves that by hand.

A position that cannot belong to its log stops a worker (`agents.starts.PositionRefused`). Moving it is a commit like
any other: whoever owned the partition before can commit no more.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agents.starts import Verdict, verdict
from app.broker import Bounds, Place, log_bounds, offsets_at, topic_epochs
from app.settings import Settings
from features.record import RECENT_EVENTS
from messages.inputs import USER_TOPICS
from messages.journal import JournalEntry, TopicRange, entry_message
from messages.message import Message
from store.contract import Commit, Header, Store, TopicPosition

TOPICS = tuple(USER_TOPICS)


class ResetRefused(Exception):
    """The position cannot be set so; the message says why."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One partition's position in one topic, and the topic's log as it is now."""

    topic: str
    partition: int
    stored: TopicPosition | None
    epoch: str
    bounds: Bounds

    @property
    def verdict(self) -> Verdict:
        """What a worker makes of it."""
        return verdict(self.stored, self.epoch, self.bounds.first, self.bounds.end)

    @property
    def lag(self) -> int | None:
        """Offsets that are still to be applied; None where a worker would refuse."""
        if self.verdict in (Verdict.RECREATED, Verdict.BEYOND_END):
            return None
        return self.bounds.end - max(self.bounds.first, self.stored.next_offset if self.stored else 0)


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What the store holds of a partition beside its records."""

    partition: int
    header: Header
    outbox: int
    places: tuple[Placed, ...]


async def read_states(
    store: Store, settings: Settings, partitions: Collection[int] = (), topics: Sequence[str] = TOPICS
) -> list[PartitionState]:
    """The state of some partitions (all where none is named), read without disturbing their owners.

    Raises:
        ResetRefused: for a partition that the deployment does not have.
        StoreUnavailable, CorruptState: as the store says.
        KafkaUnavailable: when the brokers cannot be asked, or a topic does not exist.
    """
    wanted = sorted(set(partitions)) or range(settings.partitions)
    strange = [number for number in wanted if not 0 <= number < settings.partitions]
    if strange:
        raise ResetRefused(f"there is no partition {strange[0]}: DUEWATCH_PARTITIONS is {settings.partitions}")
    opened = {}
    for number in wanted:
        view = store.partition(number)
        try:
            opened[number] = await view.open()
        finally:
            await view.close()
    # After the positions, so that no log seems to end before what was committed meanwhile.
    epochs, bounds = await topic_epochs(settings, topics), await log_bounds(settings, topics)
    return [
        PartitionState(
            number,
            found.header,
            len(found.outbox),
            tuple(
                Placed(topic, number, found.position.get(topic), epochs[topic], _bounds_of(bounds, (topic, number)))
                for topic in topics
            ),
        )
        for number, found in opened.items()
    ]


def _bounds_of(bounds: Mapping[Place, Bounds], place: Place) -> Bounds:
    if place not in bounds:
        raise ResetRefused(f"{place[0]} has no partition {place[1]}: run `duewatch topics check`")
    return bounds[place]


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one position, and what it means for the events concerned."""

    before: Placed
    after: TopicPosition
    again: int = 0  # offsets that were applied and will be read again
    skipped: int = 0  # offsets of the present log that will never be read

    @property
    def changes(self) -> bool:
        """Whether anything is different afterwards."""
        return self.before.stored != self.after


async def plan(settings: Settings, states: Iterable[PartitionState], to: str) -> list[Move]:
    """Moves to `to`: earliest, latest, stored, an offset, or a time in UTC as in ISO 8601.

    "stored" keeps the offset and takes the topic's present identity for the one it counts in.

    Raises:
        ResetRefused: `to` is none of these, or is outside of a log.
        KafkaUnavailable: when a time cannot be looked up.
    """
    places = [place for state in states for place in state.places]
    at: Mapping[Place, int | None] = {}
    if to not in ("earliest", "latest", "stored") and not to.isdecimal():
        at = await offsets_at(settings, [(p.topic, p.partition) for p in places], _milliseconds(to))
    return [_move(place, _offset(place, to, at)) for place in places]


def _milliseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ResetRefused(
            f"{text!r} is none of earliest, latest, stored, an offset, a time as 2026-01-31T08:00"
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _offset(place: Placed, to: str, at: Mapping[Place, int | None]) -> int:
    if to == "earliest":
        return place.bounds.first
    if to == "latest":
        return place.bounds.end
    where = f"{place.topic}[{place.partition}]"
    if to == "stored":
        if place.stored is None:
            raise ResetRefused(f"{where}: no position is stored")
        offset = place.stored.next_offset
    elif to.isdecimal():
        offset = int(to)
    else:
        found = at[place.topic, place.partition]
        offset = place.bounds.end if found is None else found
    if not place.bounds.first <= offset <= place.bounds.end:
        raise ResetRefused(
            f"{where}: offset {offset} is outside of the log, which has {place.bounds.first} to {place.bounds.end}"
        )
    return offset


def _move(place: Placed, offset: int) -> Move:
    after = TopicPosition(offset, place.epoch)
    if place.stored is None or place.verdict is Verdict.RECREATED:
        return Move(place, after, skipped=offset - place.bounds.first)
    known = min(max(place.stored.next_offset, place.bounds.first), place.bounds.end)
    return Move(place, after, again=max(0, known - offset), skipped=max(0, offset - known))


def consequences(moves: Iterable[Move]) -> list[str]:
    """What the moves mean, a sentence each."""
    again = sum(move.again for move in moves if move.changes)
    skipped = sum(move.skipped for move in moves if move.changes)
    recreated = [move for move in moves if move.changes and move.before.verdict is Verdict.RECREATED]
    sentences = []
    if recreated:
        sentences.append(
            "The topic was recreated: positions will count in its present incarnation. Events of the old one that were "
            "published again are dropped as repeats only while they are among the newest "
            f"{RECENT_EVENTS} events of their user."
        )
    if again:
        sentences.append(
            f"Up to {again:,} events that were applied will be read again. A record knows the ids of its user's newest "
            f"{RECENT_EVENTS} events; older ones WILL BE APPLIED TWICE: amounts, bills and counts of these users are "
            "wrong afterwards."
        )
    if skipped:
        sentences.append(f"{skipped:,} events will NEVER be applied, unless they are published again.")
    return sentences


@dataclass(slots=True)
class Result:
    """Partitions that were moved, and the reason of each that was not."""

    moved: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


async def apply_moves(store: Store, moves: Sequence[Move]) -> Result:
    """Commit the moves, one atomic commit per partition; records, timers and outbox stay as they are.

    A partition whose position is no longer what the plan saw is left alone and told in the result.

    Raises:
        StoreUnavailable, CorruptState: as the store says.
    """
    result = Result()
    by_partition: dict[int, list[Move]] = {}
    for move in moves:
        if move.changes:
            by_partition.setdefault(move.before.partition, []).append(move)
    for number, wanted in by_partition.items():
        view = store.partition(number)
        try:
            opened = await view.open()
            stale = [
                move.before.topic for move in wanted if opened.position.get(move.before.topic) != move.before.stored
            ]
            if stale:
                result.failed[number] = f"the position in {', '.join(stale)} has moved meanwhile: somebody works on it"
                continue
            header = replace(opened.header, commits=opened.header.commits + 1)
            moved = {move.before.topic: move.after for move in wanted}
            entry = _reset_entry(number, header, {**opened.position, **moved})
            # The next owner publishes the outbox: nobody knows whether the last one did.
            await view.commit(Commit(header=header, position=moved, outbox=(*opened.outbox, entry)))
            result.moved.append(number)
        finally:
            await view.close()
    return result


def _reset_entry(number: int, header: Header, position: Mapping[str, TopicPosition]) -> Message:
    """What the journal tells of a position that was set by hand: a batch of nothing, which need not join on."""
    ranges = tuple(
        TopicRange(topic=topic, epoch=at.epoch, begin=at.next_offset, end=at.next_offset)
        for topic, at in position.items()
    )
    return entry_message(
        JournalEntry(
            partition=number, number=header.commits, clock=0, watermark=header.watermark, policy=header.policy,
            market=header.market, model=header.model, topics=ranges, order="", reset=True,
        )
    )  # fmt: skip
