"""One partition's life: publish what a predecessor left, then decide, commit, publish and acknowledge batches."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from aiokafka.errors import KafkaError

from agents.alignment import Batch
from agents.inbox import Feed, Inbox
from agents.journal import JournalBroken, decoded_batch, lost_entries
from agents.outgoing import MOST_UNDER_WAY, Outgoing
from agents.patience import Backoff, until_stored
from agents.ports import Deps, InForce, Outcome
from agents.rounds import Rounds
from agents.starts import LogFacts, starting_offsets
from agents.timers import Timers
from agents.transport import RecordBatch, Revoked
from decisions.work import Work
from messages.columns import Events, Source
from messages.decoding import Decoded
from messages.inputs import USER_TOPICS
from messages.journal import JournalEntry, entry_message, journal_message
from messages.message import Message
from messages.texts import Texts
from store.contract import Commit, Header, StaleOwner, StoreUnavailable, TopicPosition

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: More users than a partition has.
_ALL = 1 << 31
#: Wait before a partition is opened again after somebody else moved it: who lost it hears of that within a session.
STALE_SECONDS = (0.5, 4.0)


@dataclass(slots=True)
class _Held:
    """What the owner knows of the partition as of its last commit."""

    header: Header
    position: dict[str, TopicPosition]  # where every topic goes on
    stored: dict[str, TopicPosition]  # what of it the store has


class Partition:
    """Owns one partition number across all user-keyed topics for as long as `live` runs."""

    def __init__(
        self,
        number: int,
        deps: Deps,
        feed: Feed,
        logs: LogFacts,
        rounds: Rounds,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.number = number
        self._deps, self._feed, self._logs, self._rounds = deps, feed, logs, rounds
        self._fail = fail
        self._view = deps.store.partition(number)
        self._timers = Timers(self._view)
        self._residents = deps.residents(self._view, deps.resident_records)
        self._inbox = Inbox(number, feed, deps.meters, deps.batch_size)
        self._sources: dict[str, Source] = {}
        self._held = _Held(Header(), {}, {})
        self._outgoing = Outgoing(number, deps, self._stored)
        self._stopping = False

    # --- called by the monitor

    async def live(self) -> None:
        """Until the partition is taken away, or `stop`; never raises: what cannot be recovered goes to `fail`."""
        backoff = Backoff(*STALE_SECONDS)
        try:
            while not self._stopping:
                try:
                    await self._own()
                except StaleOwner as stale:
                    log.warning("partition %d: %s; dropping cache and batch", self.number, stale)
                    self._deps.meters.stale_owner()
                    await self._outgoing.stop()
                    self._drop()
                    await backoff.wait()
        except Revoked:
            log.info("partition %d was taken away while it was starting", self.number)
        except Exception as error:  # Faust acknowledges what raises
            self._fail(error)
        finally:
            await self._outgoing.stop()
            self._drop()
            await self._view.close()

    def stop(self) -> None:
        """End `live` after the batch in hand."""
        self._stopping = True
        self._inbox.wake()

    def wants(self, topic: str) -> bool:
        """Whether the transport should hand over more of `topic`."""
        return self._inbox.wants(topic)

    @property
    def is_held_back(self) -> bool:
        """Whether events wait until more is known of a log."""
        return self._inbox.is_held_back

    def progressed(self) -> None:
        """The transport has looked again at what is unread."""
        self._inbox.progressed()

    def expected(self, batch: RecordBatch) -> Source | None:
        """Where the batch is from; None for one that was meant for an earlier start."""
        return self._sources[batch.topic] if self._inbox.expects(batch) else None

    def deliver(self, batch: RecordBatch, decoded: Decoded) -> None:
        """Take in an expected hand-over of the transport. Raises TooManyRefused."""
        self._deps.refusals.check(batch.topic, batch.records.offsets, decoded.refused)
        self._inbox.add(batch, decoded)
        self._rounds.given(self.number)

    # --- the life

    async def _own(self) -> None:
        await self._deps.broadcasts.read()
        opened = await self._stored(self._view.open)
        self._timers.forget()
        self._held = _Held(opened.header, dict(opened.position), dict(opened.position))
        self._outgoing.begin(opened.header.journal)
        await self._outgoing.hand_out(opened.outbox)
        await self._restore()
        await self._begin()
        self._deps.health.starting.discard(self.number)
        while not self._stopping:
            batch = self._inbox.cut()
            if batch is None:
                self._rounds.rests(self.number)
                batch = await self._inbox.gather(self._deps.tick_seconds)
            if batch is not None:
                self._rounds.comes(self.number)
                await self._handle(batch)
                if not self._inbox.is_large(batch):
                    # There is no hurry to decide more: it would only hold up what is on its way out.
                    await self._outgoing.finished()
            else:
                await self._tick()
                self._inbox.report()
            await self._outgoing.look()
        await self._outgoing.finished()

    async def _restore(self) -> None:
        """Decide again, as they were, the batches that the journal knows and the store has forgotten."""
        backoff, restored = Backoff(), 0
        while not self._stopping:
            entries = await self._deps.journal.entries(self.number, self._outgoing.journal)
            lost = lost_entries(entries, self._held.header.commits, self._held.position)
            if not lost:
                if any(entry.number > self._held.header.commits for entry in entries):
                    self._cannot_restore("the next entry of the journal does not join on")
                break
            log.warning("partition %d: the store has forgotten %d batches: deciding them again", self.number, len(lost))
            try:
                async with contextlib.aclosing(self._deps.journal.records(self.number, lost)) as batches:
                    async for entry, records in batches:
                        await self._repeat(entry, records)
                        restored += 1
            except JournalBroken as broken:
                self._cannot_restore(str(broken))
                break
            except KafkaError as error:
                log.warning("partition %d: cannot be restored yet, trying again: %r", self.number, error)
                self._deps.meters.retried("broker")
                await backoff.wait()
        if restored:
            log.warning("partition %d: %d batches restored", self.number, restored)
            self._deps.meters.restored(restored)

    def _cannot_restore(self, reason: str) -> None:
        log.critical("partition %d: what was decided may be decided otherwise: %s", self.number, reason)
        self._deps.meters.journal_broken()

    async def _repeat(self, entry: JournalEntry, records: Mapping[str, Sequence[Any]]) -> None:
        """Decide a batch as the journal tells it. Raises JournalBroken."""
        epochs = await self._logs.epochs([piece.topic for piece in entry.topics])
        for piece in entry.topics:
            if piece.begin < piece.end and piece.epoch and epochs[piece.topic] not in ("", piece.epoch):
                raise JournalBroken(f"{piece.topic} was recreated since")
        in_force: InForce | None = self._deps.broadcasts.in_force()
        if not entry.reset:
            in_force = await self._deps.broadcasts.recall(entry.policy, entry.market, entry.model)
        if in_force is None:
            raise JournalBroken(f"one of {entry.policy}, market {entry.market} and model {entry.model} is not known")
        self._held.position = {piece.topic: TopicPosition(piece.begin, piece.epoch) for piece in entry.topics}
        batch = decoded_batch(entry, records, self._deps.decoder)
        until = self._reach(batch.events, entry.clock, in_force)
        due = await self._stored(lambda: self._timers.due(until, _ALL))
        await self._decide(batch, entry.clock, due, in_force, entry)

    async def _begin(self) -> None:
        topics = list(USER_TOPICS)
        epochs = await self._logs.epochs(topics)
        bounds = await self._logs.bounds(self._feed, self.number, topics)
        for topic, known in self._held.position.items():
            first, end = bounds[topic]
            if known.next_offset > end:
                bounds[topic] = first, await self._feed.end_beyond(topic, self.number, known.next_offset)
        offsets = starting_offsets(self.number, self._held.position, bounds, epochs, self._deps.meters)
        self._held.position = {topic: TopicPosition(offset, epochs[topic]) for topic, offset in offsets.items()}
        self._sources = {topic: Source(topic, self.number, epochs[topic]) for topic in topics}
        ticket = await self._feed.begin(self.number, offsets)
        self._inbox.open(ticket, offsets)

    def _drop(self) -> None:
        self._feed.end(self.number)
        self._rounds.rests(self.number)
        self._inbox.close()
        self._residents.clear()

    async def _handle(self, batch: Batch) -> None:
        for refusal in batch.refused:
            self._deps.meters.refused(refusal.source.topic, refusal.error)
        await self._deps.publisher.publish([self._deps.dead_letter(refusal) for refusal in batch.refused])
        self._deps.reached("dead-letters")
        await self._apply(batch, self._clock())
        self._inbox.report_now_and_then()

    def _clock(self) -> int:
        """What counts as now, ms; 0 while events alone move time: in event time, and until everything is read."""
        return self._deps.clock_ms() if self._deps.time_mode == "clock" and self._inbox.caught_up else 0

    async def _tick(self) -> None:
        """Timers without events: only the clock moves."""
        clock = self._clock()
        until = self._reach(Events.empty(), clock, self._deps.broadcasts.in_force())
        self._timers.forget()  # ask at any rate: it shows whether the store is there
        if await self._stored(lambda: self._timers.due(until, 1)) and clock:
            await self._apply(Batch(Events.empty(), [], {}), clock)

    async def _apply(self, batch: Batch, clock: int) -> None:
        """Decide and commit `batch`; in parts where more timers come due within it than fit into one commit."""
        most, in_force = self._deps.batch_size, self._deps.broadcasts.in_force()
        until = self._reach(batch.events, clock, in_force)
        due = await self._stored(lambda: self._timers.due(until, most + 1))
        if len(due) <= most:
            await self._decide(batch, clock, due, in_force)
        elif len(batch.events) > 1:
            for half in batch.halves():
                await self._apply(half, clock if half.positions is batch.positions else 0)
        else:
            await self._fire_until(until, in_force)
            await self._decide(batch, clock, await self._stored(lambda: self._timers.due(until, most)), in_force)

    async def _fire_until(self, until: int, in_force: InForce) -> None:
        """Fire timers in their order, as many at once as fit, before the one event that makes them all due."""
        most = self._deps.batch_size
        while True:
            low, high = 0, until
            while low < high:  # the last second up to which they fit
                middle = (low + high + 1) // 2
                fits = len(await self._stored(lambda: self._timers.due(middle, most + 1))) <= most  # noqa: B023
                low, high = (middle, high) if fits else (low, middle - 1)
            if low == until:
                return
            due = await self._stored(lambda: self._timers.due(low, most))  # noqa: B023
            if not due:  # more than fit in a single second
                low += 1
                due = await self._stored(lambda: self._timers.due(low, _ALL))  # noqa: B023
            lateness = in_force.policy.terms.allowed_lateness
            for start in range(0, len(due), most):
                part = due[start : start + most]
                await self._decide(Batch(Events.empty(), [], {}), (low + lateness) * 1000, part, in_force)

    def _reach(self, events: Events, clock: int, in_force: InForce) -> int:
        """The watermark after `events`, seconds: timers up to there come due."""
        newest = max(int(events.columns["time"].max()) if len(events) else 0, clock // 1000)
        return max(self._held.header.watermark, newest - in_force.policy.terms.allowed_lateness)

    async def _decide(
        self, batch: Batch, clock: int, due: list[str], in_force: InForce, repeated: JournalEntry | None = None
    ) -> None:
        deps, events, held = self._deps, batch.events, self._held
        begun = asyncio.get_running_loop().time()
        users = Texts.concatenate([Texts.of(events.users), Texts.of(due)]) if due else events.users
        rows = await self._stored(lambda: self._residents.rows(users))
        events.columns["row"] = rows[: len(events)]
        residents, watermark = self._residents, held.header.watermark
        work = Work(residents.records, events, residents.users, watermark, clock, rows[len(events) :])
        outcome = await self._rounds.decide(self.number, work, in_force, alone=self._inbox.is_large(batch))
        deps.reached("decided")

        touched, retired = outcome.touched, np.asarray(outcome.retired, np.uint32)
        timers = self._residents.moved_timers(touched)
        header = Header(
            watermark=outcome.watermark,
            clock=clock,
            policy=in_force.policy.version,
            market=in_force.market.version,
            model=in_force.model.version,
            commits=held.header.commits + 1,
            journal=self._outgoing.journal,
        )
        position = _moved(held.position, batch.positions)
        entry = entry_message(repeated) if repeated else self._entry(header, position, events)
        decided = (entry, *outcome.decisions)
        records = self._residents.packed(touched)
        await self._outgoing.finished(MOST_UNDER_WAY)
        commit = Commit(
            header=header,
            position=position,
            timers=timers,
            records=records,
            retired=self._residents.users_of(retired),
            outbox=(*self._outgoing.unpublished, *decided),
        )
        self._rounds.sent(self.number)
        await self._commit(commit)
        self._timers.set(timers.values())
        self._residents.forget(retired)
        deps.reached("committed")
        seconds = asyncio.get_running_loop().time() - begun
        self._outgoing.send_off(
            decided, lambda: self._settle(batch, outcome, len(due), seconds), is_newest=repeated is None
        )

    def _settle(self, batch: Batch, outcome: Outcome, timers: int, seconds: float) -> None:
        """Count and acknowledge what is published: who sees an event counted finds what it led to in the topics."""
        meters = self._deps.meters
        duplicates = int(np.count_nonzero(outcome.disposition == 0))
        meters.committed(len(batch.events), duplicates, timers, seconds)
        meters.counted(outcome.counts)
        arrived = batch.events.arrived[outcome.caused[outcome.caused >= 0]]
        meters.answered(((self._deps.clock_ms() - arrived[arrived > 0]) / 1000).tolist())
        batch.acknowledge()
        self._deps.reached("acknowledged")

    def _entry(self, header: Header, position: Mapping[str, TopicPosition], events: Events) -> Message:
        """What the journal tells of a batch that goes from the position held to this one."""
        ranges = {
            topic: (at.epoch, self._held.position[topic].next_offset, at.next_offset) for topic, at in position.items()
        }
        versions = (header.policy, header.market, header.model)
        return journal_message(self.number, header.commits, header.clock, header.watermark, versions, ranges, events)

    async def _commit(self, commit: Commit) -> None:
        """Commit once, whatever the store's replies are. Raises StaleOwner."""
        backoff, before = Backoff(), (self._held.header, self._held.stored)
        after = (commit.header, {**self._held.stored, **commit.position})
        while True:
            try:
                await self._view.commit(commit)
                break
            except StoreUnavailable as error:
                self._store_failed(error)
            await backoff.wait()
            opened = await self._stored(self._view.open)
            found = (opened.header, dict(opened.position))
            if found == after and tuple(opened.outbox) == tuple(commit.outbox):
                break  # it had happened
            if found != before:
                raise StaleOwner("the store holds neither this commit nor the one before it")
        self._deps.health.store_reachable = True
        self._held = _Held(commit.header, dict(commit.position), after[1])

    async def _stored(self, call: Callable[[], Awaitable[_T]]) -> _T:
        result = await until_stored(call, self._store_failed)
        self._deps.health.store_reachable = True
        return result

    def _store_failed(self, error: StoreUnavailable) -> None:
        log.warning("partition %d: store unavailable, trying again: %s", self.number, error)
        self._outgoing.doubt()
        self._deps.health.store_reachable = False
        self._deps.meters.retried("store")


def _moved(position: Mapping[str, TopicPosition], offsets: Mapping[str, int]) -> dict[str, TopicPosition]:
    return {
        topic: TopicPosition(offsets[topic], known.epoch) if topic in offsets else known
        for topic, known in position.items()
    }
