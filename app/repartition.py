"""Copies what a stopped deployment knows to another partition count.

Users move to the partition that Kafka's default partitioner gives them under the new count. The source is only read.
Until everything is copied and compared, the target's positions count in a topic that does not exist, so that a worker
refuses to start on half a copy; that is also how a second run knows that it may go on.

The target's watermark is the smallest of the sources': what was due in a partition that was further on has fired and
is no longer among the timers, and what is left fires when the watermark passes it, later perhaps but never unseen and
never before an event that was allowed to be late.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.broker import log_bounds, topic_epochs
from app.kafka import KafkaUnavailable, partition_of
from app.positions import TOPICS, read_states
from app.settings import Settings
from features.packing import unpack
from features.record import RECORD
from messages.journal import JOURNAL
from messages.message import Message
from store.contract import Commit, CorruptState, Header, Opened, PartitionStore, Store, TopicPosition

#: Records in one commit.
CHUNK = 1_000
_EVERYTHING = 1 << 40


class RepartitionRefused(Exception):
    """The copy cannot be made, or is not what it should be; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """One side of the copy."""

    store: Store
    settings: Settings


@dataclass(slots=True)
class Sum:
    """Counts records and adds up their hashes, so that two sides can be compared whatever their order."""

    records: int = 0
    timers: int = 0
    hashes: int = 0

    def add(self, user: str, record: bytes, timer: int) -> None:
        """Count one user."""
        self.records += 1
        self.timers += bool(timer)
        digest = hashlib.blake2b(b"%d %s %s" % (timer, user.encode(), record), digest_size=16).digest()
        self.hashes = (self.hashes + int.from_bytes(digest)) % (1 << 128)


@dataclass(frozen=True, slots=True)
class Done:
    """What was copied."""

    records: int
    timers: int
    limits: int
    messages: int
    watermark: int
    checksum: str


@dataclass(slots=True)
class _Copy:
    """What the target's partitions become; `finished` are those that an earlier run has completed."""

    mark: str
    base: Header
    headers: list[Header]
    positions: list[dict[str, TopicPosition]]
    outboxes: list[list[Message]]
    views: list[PartitionStore] = field(default_factory=list)
    finished: set[int] = field(default_factory=set)

    @property
    def marked(self) -> dict[str, TopicPosition]:
        """Positions that every worker refuses."""
        return {topic: TopicPosition(0, self.mark) for topic in TOPICS}


async def repartition(
    source: Place,
    target: Place,
    *,
    start: str = "earliest",
    drained: bool = False,
    report: Callable[[str, int], None] = lambda _stage, _users: None,
) -> Done:
    """Copy every record, timer, limit and unpublished message, compare both sides, then set the target's positions.

    Args:
        source: a deployment without workers.
        target: an empty place in a store, and the new topics; its settings have the new partition count.
        start: where reading starts in topics that the source did not read: "earliest" or "latest". In a topic that has
            only been given more partitions it starts where the source ended.
        drained: the source's topics are gone, and the caller vouches that they had been worked off.
        report: called with what is being done and the users so far.

    Raises:
        RepartitionRefused: with the reason; a later run goes on where this one ended.
        StoreUnavailable, CorruptState: as the stores say.
        KafkaUnavailable: when brokers cannot be asked, or topics are missing.
    """
    opened = await _opened(source)
    if not drained:
        await _check_drained(source)
    copy = await _prepare(opened, target, start)
    try:
        await _begin(copy, target)
        wanted, limits = await _copy_users(source, target, copy, report)
        await _compare(copy, target, wanted, report)
        if await _opened(source) != opened:
            raise RepartitionRefused("the source has changed during the copy: a worker runs; stop it and begin again")
        await _finish(copy)
    finally:
        for view in copy.views:
            await view.close()
    messages = sum(map(len, copy.outboxes))
    return Done(wanted.records, wanted.timers, limits, messages, copy.headers[0].watermark, f"{wanted.hashes:032x}")


async def _opened(source: Place) -> list[Opened]:
    found = []
    for number in range(source.settings.partitions):
        view = source.store.partition(number)
        try:
            found.append(await view.open())
        finally:
            await view.close()
    if not any(opened.header.commits for opened in found):
        raise RepartitionRefused("the source is empty: are DUEWATCH_REDIS_URL and DUEWATCH_REDIS_PREFIX its own?")
    return found


async def _check_drained(source: Place) -> None:
    """Every event of the source's topics must have been applied."""
    for state in await read_states(source.store, source.settings):
        for place in state.places:
            where = f"{place.topic}[{place.partition}]"
            if place.lag is None:
                raise RepartitionRefused(
                    f"{where}: {place.verdict}: whether everything was applied cannot be told any more; if you know "
                    "that it was, say --drained"
                )
            if place.lag:
                raise RepartitionRefused(f"{where}: {place.lag:,} records wait: let the workers finish them first")


async def _prepare(opened: Sequence[Opened], target: Place, start: str) -> _Copy:
    """What the target's headers, positions and outboxes will be."""
    settings, count = target.settings, target.settings.partitions
    base = Header(commits=max(one.header.commits for one in opened))
    watermark = min((one.header.watermark for one in opened if one.header.commits), default=0)
    positions = await _positions(opened, settings, start)
    journal = await _journal_ends(settings)
    headers = [
        Header(
            watermark=watermark,
            policy=_shared(one.header.policy for one in opened),
            market=_shared(one.header.market for one in opened),
            model=_shared(one.header.model for one in opened),
            commits=base.commits + 1,
            journal=journal.get(number, 0),
        )
        for number in range(count)
    ]
    outboxes: list[list[Message]] = [[] for _ in range(count)]
    for one in opened:
        for message in one.outbox:
            if message.topic != JOURNAL:  # it speaks of partitions that are no more
                user = "" if message.key is None else message.key.decode(errors="replace")
                outboxes[partition_of(user, count)].append(message)
    return _Copy(f"unfinished-copy-of-{len(opened)}-to-{count}", base, headers, positions, outboxes)


async def _positions(opened: Sequence[Opened], settings: Settings, start: str) -> list[dict[str, TopicPosition]]:
    epochs, bounds = await topic_epochs(settings, TOPICS), await log_bounds(settings, TOPICS)
    for topic in TOPICS:
        count = sum(name == topic for name, _ in bounds)
        if count != settings.partitions:
            raise RepartitionRefused(
                f"{topic} of the target has {count} partitions, not {settings.partitions}: create the new topics first"
            )
    positions: list[dict[str, TopicPosition]] = []
    for number in range(settings.partitions):
        found = {}
        for topic in TOPICS:
            known = opened[number].position.get(topic) if number < len(opened) else None
            grown = any(one.position[topic].epoch == epochs[topic] != "" for one in opened if topic in one.position)
            log = bounds[topic, number]
            if grown:  # the same topic with more partitions
                offset = log.first if known is None else known.next_offset
            else:
                offset = log.first if start == "earliest" else log.end
            found[topic] = TopicPosition(offset, epochs[topic])
        positions.append(found)
    return positions


async def _journal_ends(settings: Settings) -> dict[int, int]:
    """Where each partition's journal goes on; the old entries are of other partitions."""
    try:
        return {number: log.end for (_, number), log in (await log_bounds(settings, [JOURNAL])).items()}
    except KafkaUnavailable:
        return {}


def _shared(versions: Iterable[str]) -> str:
    found = set(versions) - {""}
    return found.pop() if len(found) == 1 else ""


async def _begin(copy: _Copy, target: Place) -> None:
    """Mark every partition of the target as unfinished; refuse what is neither empty nor a copy of this kind."""
    for number in range(target.settings.partitions):
        view = target.store.partition(number)
        copy.views.append(view)
        found = await view.open()
        if (found.header, dict(found.position)) == (copy.headers[number], copy.positions[number]):
            copy.finished.add(number)
            continue
        if found.header != Header() and dict(found.position) != copy.marked:
            raise RepartitionRefused(f"partition {number} of the target is not empty: give it another --target-prefix")
        await view.commit(Commit(copy.base, copy.marked))


async def _copy_users(source: Place, target: Place, copy: _Copy, report: Callable[[str, int], None]) -> tuple[Sum, int]:
    """Copy records, timers and limits; the sum of what there is, and the number of limits."""
    total, limits, count = Sum(), 0, target.settings.partitions
    waiting: list[dict[str, tuple[bytes, int]]] = [{} for _ in range(count)]
    for number in range(source.settings.partitions):
        view, timers = source.store.partition(number), list[tuple[int, str]]()
        try:
            async for users in _chunks(view.users()):
                for user, (record, timer) in (await _read(view, users)).items():
                    if partition_of(user, source.settings.partitions) != number:
                        raise RepartitionRefused(
                            f"partition {number} holds users that Kafka's default partitioner puts elsewhere: your "
                            "producers use another one, so where users would go cannot be told"
                        )
                    total.add(user, record, timer)
                    timers += [(timer, user)] if timer else []
                    place = partition_of(user, count)
                    waiting[place][user] = record, timer
                    if len(waiting[place]) >= CHUNK:
                        await _write(copy, place, waiting[place])
                limits += await _copy_limits(source.store, target.store, users)
                report("copying", total.records)
            await _check_timers(view, timers, f"partition {number} of the source")
        finally:
            await view.close()
    for place in range(count):
        await _write(copy, place, waiting[place])
    return total, limits


async def _read(view: PartitionStore, users: list[str]) -> dict[str, tuple[bytes, int]]:
    """Packed record and timer by user."""
    records = np.zeros(len(users), RECORD)
    stored = await view.load(users)
    try:
        unpack(stored, records)
    except ValueError as error:
        raise CorruptState(f"a record cannot be read: {error}") from error
    return {
        user: (record, timer)
        for user, record, timer in zip(users, stored, records["next_timer"].tolist(), strict=True)
        if record is not None
    }


async def _write(copy: _Copy, number: int, users: dict[str, tuple[bytes, int]]) -> None:
    """Commit the users to a partition of the target, and forget them."""
    if users and number not in copy.finished:
        records = {user: record for user, (record, _) in users.items()}
        timers = {user: timer for user, (_, timer) in users.items()}
        await copy.views[number].commit(Commit(copy.base, {}, records, timers=timers))
    users.clear()


async def _copy_limits(source: Store, target: Store, users: list[str]) -> int:
    found = [view for user in users if (view := await source.limit_of(user)) is not None]
    await target.project_limits(found)
    return len(found)


async def _compare(copy: _Copy, target: Place, wanted: Sum, report: Callable[[str, int], None]) -> None:
    """Read the target whole and hold it against the source."""
    found = Sum()
    for number, view in enumerate(copy.views):
        timers: list[tuple[int, str]] = []
        async for users in _chunks(view.users()):
            for user, (record, timer) in (await _read(view, users)).items():
                if partition_of(user, target.settings.partitions) != number:
                    raise RepartitionRefused(f"partition {number} of the target holds users of another one")
                found.add(user, record, timer)
                timers += [(timer, user)] if timer else []
            report("comparing", found.records)
        await _check_timers(view, timers, f"partition {number} of the target")
    if found != wanted:
        raise RepartitionRefused(
            f"the target differs from the source: {found} instead of {wanted}; empty it, begin again"
        )


async def _check_timers(view: PartitionStore, timers: list[tuple[int, str]], where: str) -> None:
    """Hold the timers that the store has against those of the records."""
    if await view.due(_EVERYTHING, len(timers) + 1) != [user for _, user in sorted(timers)]:
        raise RepartitionRefused(f"{where} has other timers than its records say")


async def _finish(copy: _Copy) -> None:
    for number, view in enumerate(copy.views):
        if number not in copy.finished:
            commit = Commit(copy.headers[number], copy.positions[number], outbox=tuple(copy.outboxes[number]))
            await view.commit(commit)


async def _chunks(users: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    chunk: list[str] = []
    async for user in users:
        chunk.append(user)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
