"""The Faust worker: one agent over all user-keyed topics, and one task per owned partition number.

Faust gives group membership, assignment, rebalances, commits and the worker's life cycle. Nothing runs at import:
`build_app` makes a worker's app, `register` gives its agent to an app.
"""

import asyncio
import logging
import os
import ssl
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from faust.transport import drivers

from agents.meters import Meters
from agents.partition import Partition
from agents.ports import Decoder, Deps
from agents.rounds import Rounds
from agents.starts import Logs
from agents.transport import SCHEME, HandOver, RecordBatch, RecordBatches
from messages.inputs import USER_TOPICS

log = logging.getLogger(__name__)

#: Seconds that a partition gets to finish the batch in hand before it is cancelled.
GRACE = 5.0
#: Bytes that are fetched ahead, at most, and how many of them one topic of a partition gets: less would make many small
#: fetches, more would only wait.
FETCH_BYTES, LEAST_FETCH, MOST_FETCH = 32 << 20, 64 << 10, 1 << 20
#: Seconds that Faust gets to stop, then the process ends without it.
LAST_RESORT = 20.0
EXIT_FAILED = 70


class TopicsUnfit(Exception):
    """The topics, or what the group assigned of them, do not let one task have all of a user's events."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What the Faust app needs to know.

    `kafka_options` are what every aiokafka client of the deployment takes: bootstrap_servers, security_protocol,
    ssl_context, sasl_mechanism, sasl_plain_username, sasl_plain_password.
    """

    group: str
    kafka_options: Mapping[str, Any]
    session_timeout: float = 45.0
    data_directory: Path | None = None
    faust_options: Mapping[str, Any] = field(default_factory=dict)


class Monitor:
    """Starts and ends the partitions' tasks as the group assigns them, and takes in what the transport hands over."""

    def __init__(self, app: Any, deps: Deps, logs: Logs) -> None:
        self._app, self._deps, self._logs = app, deps, logs
        self._partitions: dict[int, Partition] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rounds = Rounds(deps.decide, lambda: app.consumer.resume())

    async def start(self) -> None:
        """Connect what the partitions need."""
        await self._deps.publisher.start()
        await self._deps.broadcasts.start()

    async def stop(self) -> None:
        """Let every partition finish the batch in hand, then disconnect."""
        await self._end_all()
        self._logs.forget()
        await self._deps.broadcasts.stop()
        await self._deps.journal.stop()
        await self._deps.publisher.stop()
        await self._deps.store.close()

    def fail(self, error: BaseException) -> None:
        """End the process without acknowledging anything more."""
        if self._deps.health.failure:
            return
        self._deps.health.failure = f"{type(error).__name__}: {error}"
        log.critical("the worker stops: %s", self._deps.health.failure, exc_info=error)
        _end_at_the_latest(EXIT_FAILED)
        for partition in self._partitions.values():
            partition.stop()
        asyncio.ensure_future(self._app.crash(error))  # noqa: RUF006 - the loop ends with it

    # --- the group's assignment

    async def assigned(self, _sender: Any, assigned: set[Any], **_: Any) -> None:
        """Begin the life of every partition number that the assignment names. Raises TopicsUnfit."""
        numbers = self._check(assigned)
        self._logs.forget()
        health, consumer = self._deps.health, self._app.consumer
        health.assigned, health.starting = True, set(numbers)
        self._deps.meters.partitions(len(numbers))
        share = self._deps.share(max(len(numbers), 1))
        consumer.fetch_at_most(fetch_size(len(numbers)))
        for number in numbers:
            partition = Partition(number, share, consumer, self._logs, self._rounds, self.fail)
            self._partitions[number] = partition
            self._tasks[number] = asyncio.create_task(partition.live(), name=f"partition {number}")

    async def revoked(self, _sender: Any, _revoked: set[Any], **_: Any) -> None:
        """End the life of every partition: Faust rebalances all of them at once."""
        self._deps.health.assigned = False
        await self._end_all()

    def _check(self, assigned: set[Any]) -> list[int]:
        if not assigned:
            return []  # more workers than partitions
        counts = self._app.consumer.counts(list(USER_TOPICS))
        if len(set(counts.values())) != 1 or not all(counts.values()):
            raise TopicsUnfit(f"all user-keyed topics need the same number of partitions, found {counts}")
        numbers = sorted({tp.partition for tp in assigned})
        lacking = [
            f"{topic}[{number}]" for number in numbers for topic in USER_TOPICS if (topic, number) not in assigned
        ]
        if lacking:
            raise TopicsUnfit(f"this worker was assigned a part of a partition only; lacking {', '.join(lacking)}")
        return numbers

    async def _end_all(self) -> None:
        for partition in self._partitions.values():
            partition.stop()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for number in self._partitions:
            for topic in USER_TOPICS:
                self._deps.meters.unread(topic, number, None)
        self._partitions.clear()
        self._tasks.clear()
        self._deps.health.starting.clear()

    # --- the transport's side

    def deliver(self, event: Any) -> None:
        """Pass what one fetch brought to its partitions; never raises."""
        hand_over: HandOver = event.value
        try:
            deps = self._deps
            if deliver(hand_over.batches, self._partitions, deps.decoder, deps.meters):
                # Only now: what was asked for while this was on its way is newer, and often in time for the same round.
                self._rounds.brought(more=hand_over.more)
        except Exception as error:  # Faust acknowledges what raises
            self.fail(error)
        event.ack()

    @property
    def by_event_time(self) -> bool:
        """Whether event time alone moves things: history, which may run faster than the clock."""
        return self._deps.time_mode == "event"

    def wants(self, topic: str, partition: int) -> bool:
        """Whether the partition has room for more of `topic`."""
        owner = self._partitions.get(partition)
        return owner is not None and owner.wants(topic)

    def until_wanted(self) -> float:
        """Seconds for which nobody has a use for more events, unless the consumer's `resume` is called."""
        return self._rounds.until_wanted()

    def is_held_back(self) -> bool:
        """Whether a partition has events that it may not decide before more is known of a log."""
        return any(partition.is_held_back for partition in self._partitions.values())

    def progressed(self) -> None:
        """Let every partition look again at what is unread."""
        for partition in self._partitions.values():
            partition.progressed()

    def sought_back(self, topic: str) -> None:
        """Count a fetch that was not delivered."""
        self._deps.meters.sought_back(topic)

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        """Count a hole that was believed."""
        self._deps.meters.skipped(topic, offsets, lost=lost)


class WorkerApp(faust.App):
    """A Faust app that starts and stops its monitor along with itself."""

    intake: Monitor

    async def on_start(self) -> None:
        """Connect first, so that partitions find everything there."""
        await super().on_start()
        await self.intake.start()

    async def on_stop(self) -> None:
        """Finish batches first, so that Faust's last commit tells of them."""
        await self.intake.stop()
        # Where a rebalance has begun meanwhile, Faust's consumer may wait for ever for a service that has stopped.
        # Everything of ours is committed and published by now.
        _end_at_the_latest(EXIT_FAILED if self.crashed else 0)
        await super().on_stop()


def deliver(
    batches: Sequence[RecordBatch], partitions: Mapping[int, Partition], decoder: Decoder, meters: Meters
) -> bool:
    """Decode all batches in one go and pass them to the partitions that expect them; whether any does.

    Raises TooManyRefused.
    """
    expected = [
        (owner, batch, source)
        for batch in batches
        if (owner := partitions.get(batch.partition)) is not None and (source := owner.expected(batch)) is not None
    ]
    found = decoder.decode_each([(source, batch.records) for _, batch, source in expected])
    fetched = Counter[str]()
    for (owner, batch, _), decoded in zip(expected, found, strict=True):
        owner.deliver(batch, decoded)
        fetched[batch.topic] += len(batch.records)
    for topic, records in fetched.items():
        meters.fetched(topic, records)
    return bool(expected)


def fetch_size(partitions: int) -> int:
    """Bytes that are fetched at once of each topic of a partition, where a worker owns so many partitions."""
    share = FETCH_BYTES // (len(USER_TOPICS) * max(partitions, 1))
    return min(max(share, LEAST_FETCH), MOST_FETCH)


def _end_at_the_latest(code: int) -> None:
    last_resort = threading.Timer(LAST_RESORT, os._exit, (code,))
    last_resort.daemon = True
    last_resort.start()


def register(app: WorkerApp, deps: Deps, kafka_options: Mapping[str, Any]) -> Monitor:
    """Give `app` the agent that watches all user-keyed topics."""
    monitor = Monitor(app, deps, Logs(kafka_options, deps.meters))
    app.intake = monitor
    signals: Any = app  # Faust's types describe a handler more narrowly than Faust calls it
    signals.on_partitions_assigned.connect(monitor.assigned)
    signals.on_partitions_revoked.connect(monitor.revoked)

    async def watch(stream: Any) -> None:
        async for event in stream.noack().events():
            monitor.deliver(event)

    app.agent(app.topic(*USER_TOPICS, schema=RecordBatches()), name="watch")(watch)
    return monitor


def build_app(settings: WorkerSettings, deps: Deps) -> WorkerApp:
    """A worker's app, ready for `faust.Worker`."""
    drivers.TRANSPORTS.aliases[SCHEME] = "agents.transport:Transport"
    servers = settings.kafka_options["bootstrap_servers"]
    servers = servers.split(",") if isinstance(servers, str) else servers
    app = WorkerApp(
        settings.group,
        broker=[f"{SCHEME}://{server}" for server in servers],
        broker_credentials=_credentials(settings.kafka_options),
        store="memory://",
        datadir=str(settings.data_directory) if settings.data_directory else None,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=1,  # Faust's own assignor keeps a user's topics together; 0 would switch it off
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MOST_FETCH,
        broker_session_timeout=settings.session_timeout,
        broker_rebalance_timeout=max(settings.session_timeout, 2 * GRACE),
        broker_heartbeat_interval=settings.session_timeout / 6,
        broker_commit_interval=1.0,
        stream_wait_empty=False,
        web_enabled=False,
        **settings.faust_options,
    )
    register(app, deps, settings.kafka_options)
    return app


def _credentials(options: Mapping[str, Any]) -> Any:
    context: ssl.SSLContext | None = options.get("ssl_context")
    if options.get("sasl_mechanism"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return context
