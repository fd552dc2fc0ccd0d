"""What every worker reads whole, outside the group: market indicators, policies and model snapshots.

They change what is in force between batches; the commit's header names what a batch was decided with. A message that
is not understood, or must not be trusted, is refused and the old one stays in force.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import aiokafka
from aiokafka.errors import KafkaError

from agents.health import Health
from agents.meters import Meters
from agents.patience import Backoff
from agents.reading import read_whole, topic_partitions
from agents.snapshots import Untrusted, open_snapshot
from decisions.in_force import InForce
from features.market import Market
from messages.broadcasts import parse_broadcast
from messages.columns import Source
from messages.inputs import BROADCAST_TOPICS, MarketIndicator, PolicyPublished
from messages.outputs import MODEL_SNAPSHOTS
from messages.verdict import Refusal
from policy.policy import Policy, PolicyError, load
from scoring.logistic import Logistic, OtherSchema
from scoring.model import Model

log = logging.getLogger(__name__)
_T = TypeVar("_T")

TOPICS = (*BROADCAST_TOPICS, MODEL_SNAPSHOTS)
POLL_MS = 500
#: Versions of each that are remembered, and how long one that is not known yet is waited for.
MOST_VERSIONS, RECALL_SECONDS = 1_000, 10.0


class Book:
    """What is in force as the messages say, from `first` on.

    Policies: the newest active one; when it is retired, the one of `first`. A policy in another currency than the
    book's is refused. `hmac_key` checks snapshots; without one every snapshot is refused.
    """

    def __init__(self, first: InForce, hmac_key: bytes | None, meters: Meters) -> None:
        self._first, self._hmac_key, self._meters = first, hmac_key, meters
        self.in_force = first
        self._policies: dict[str, Policy] = {}
        self._models: dict[str, Model] = {}
        self._markets: dict[str, Market] = {}
        self._remember()

    def apply(self, record: Any) -> None:
        """Take in one record of a broadcast topic; never raises."""
        before = self.in_force
        try:
            if record.topic == MODEL_SNAPSHOTS:
                self._apply_snapshot(record.value)
            else:
                self._apply_broadcast(record)
        except (PolicyError, Untrusted, OtherSchema) as error:
            self._refuse(record.topic, str(error))
        except Exception as error:  # whatever is wrong with one message, the next has to be read
            self._refuse(record.topic, repr(error))
        if self.in_force is not before:
            now = self.in_force
            self._remember()
            self._meters.in_force(now.policy.version, now.market.version, now.model.version)
            log.info("in force: %s, market %s, model %s", now.policy.version, now.market.version, now.model.version)

    def recall(self, policy: str, market: str, model: str) -> InForce | None:
        """What was in force under these versions; None where one of them is not known."""
        try:
            return InForce(self._policies[policy], self._models[model], self._markets[market])
        except KeyError:
            return None

    def _remember(self) -> None:
        now = self.in_force
        _keep(self._policies, now.policy.version, now.policy)
        _keep(self._models, now.model.version, now.model)
        _keep(self._markets, now.market.version, now.market)

    def _apply_broadcast(self, record: Any) -> None:
        found = parse_broadcast(Source(record.topic, record.partition), record)
        if isinstance(found, Refusal):
            self._refuse(record.topic, found.message)
        elif isinstance(found, MarketIndicator):
            market = self.in_force.market.with_indicator(found)
            if market is not self.in_force.market:
                self.in_force = InForce(self.in_force.policy, self.in_force.model, market)
        elif isinstance(found, PolicyPublished):
            self._apply_policy(found)

    def _apply_policy(self, found: PolicyPublished) -> None:
        now = self.in_force
        if found.mode == "shadow":
            load(found.document)
            log.warning("policy %s: shadow policies are accepted, but not run yet", found.name)
        elif found.mode == "retired":
            if now.policy.name == found.name:
                self.in_force = InForce(self._first.policy, now.model, now.market)
        else:
            self.in_force = InForce(self._fit(load(found.document), found.name), now.model, now.market)

    def _fit(self, policy: Policy, name: str) -> Policy:
        if policy.currency != self._first.policy.currency:
            raise PolicyError([f"the policy is in {policy.currency}, the book in {self._first.policy.currency}"])
        if policy.name != name:
            raise PolicyError([f"the document is of policy {policy.name!r}, it was published as {name!r}"])
        return policy

    def _apply_snapshot(self, value: bytes | None) -> None:
        if value is None:
            return
        snapshot = open_snapshot(value, self._hmac_key)
        if "state.warming" in snapshot.parameters and snapshot.parameters["state.warming"][0]:
            model: Model = self._first.model
        else:
            model = Logistic.from_parameters(snapshot.version, snapshot.inputs, snapshot.parameters)
        self.in_force = InForce(self.in_force.policy, model, self.in_force.market)

    def _refuse(self, topic: str, reason: str) -> None:
        log.error("%s: refused, the old one stays in force: %s", topic, reason)
        self._meters.broadcast_refused(topic)


def _keep(known: dict[str, _T], version: str, part: _T) -> None:
    """Put the newest last, and forget the oldest."""
    known.pop(version, None)
    known[version] = part
    if len(known) > MOST_VERSIONS:
        del known[next(iter(known))]


class KafkaBroadcasts:
    """Feeds a `Book` from Kafka. `options` are what every aiokafka client of the deployment takes."""

    def __init__(self, options: Mapping[str, Any], book: Book, meters: Meters, health: Health) -> None:
        self._options, self._book, self._meters, self._health = options, book, meters, health
        self._whole, self._news = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._run(), name="broadcasts")

    async def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def read(self) -> None:
        """Return once everything published before the start was read."""
        await self._whole.wait()

    def in_force(self) -> InForce:
        """What the next batch takes."""
        return self._book.in_force

    async def recall(self, policy: str, market: str, model: str) -> InForce | None:
        """What was in force under these versions; None where they do not come within a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECALL_SECONDS):
                while (found := self._book.recall(policy, market, model)) is None:
                    self._news.clear()
                    await self._news.wait()
                return found
        return None

    async def _run(self) -> None:
        backoff, positions = Backoff(), dict[Any, int]()
        while True:
            consumer = aiokafka.AIOKafkaConsumer(**self._options, enable_auto_commit=False)
            try:
                await consumer.start()
                await self._follow(consumer, positions)
            except KafkaError as error:
                log.warning("broadcast topics cannot be read, trying again: %r", error)
                self._meters.retried("broker")
            finally:
                await consumer.stop()
            await backoff.wait()

    async def _follow(self, consumer: Any, positions: dict[Any, int]) -> None:
        """Read from where the last consumer got to, for ever."""
        tps = await topic_partitions(consumer, TOPICS)
        consumer.assign(tps)
        first = await consumer.beginning_offsets(tps)
        for tp in tps:
            consumer.seek(tp, max(first[tp], positions.get(tp, 0)))
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    self._book.apply(record)
                positions[tp] = records[-1].offset + 1
                self._news.set()
            if not self._whole.is_set() and await read_whole(consumer, tps):
                self._whole.set()
                self._health.broadcasts_read = True
