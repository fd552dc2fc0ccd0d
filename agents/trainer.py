"""The one trainer: learns matured labels in the order of their topic, and publishes signed snapshots.

A snapshot holds the offset up to which it has learned, so a restarted trainer repeats nothing. An example that was
published twice is learned once: what a partition's new owner publishes again has the id that it had. The trainer runs
once per deployment; a second one would publish the same snapshots from the same examples, and the newest offset wins.
"""

import logging
from collections.abc import Mapping
from typing import Any

import aiokafka
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from agents.publishing import Publisher
from agents.reading import read_whole
from agents.snapshots import Untrusted, open_snapshot, restore_learner, snapshot_message
from messages.outputs import MODEL_SNAPSHOTS, TRAINING_EXAMPLES, TrainingExample
from scoring.inputs import INPUTS
from scoring.learner import Learner
from scoring.logistic import OtherSchema

log = logging.getLogger(__name__)

POLL_MS = 500
#: Newest examples whose ids are known: repeats come minutes after the first, when a worker or a store was lost.
REMEMBERED = 100_000


class Trainer:
    """Reads `training-examples` (one partition) and publishes a snapshot after every `every` examples.

    `options` are what every aiokafka client of the deployment takes, `key` signs the snapshots.
    """

    def __init__(self, options: Mapping[str, Any], publisher: Publisher, key: bytes, every: int = 100) -> None:
        self._options, self._publisher, self._key, self._every = options, publisher, key, every
        self.learner = Learner()
        self.offset = 0  # the next example to learn
        self._ids: dict[str, None] = {}  # of the newest examples, in their order
        self._since = 0  # examples learned since the newest snapshot

    async def run(self) -> None:
        """Train for ever. Raises aiokafka.errors.KafkaError, and MessageSizeTooLargeError for a snapshot too large."""
        consumer = aiokafka.AIOKafkaConsumer(**self._options, enable_auto_commit=False)
        await consumer.start()
        try:
            await self.resume(consumer)
            examples = aiokafka.TopicPartition(TRAINING_EXAMPLES, 0)
            consumer.assign([examples])
            first = (await consumer.beginning_offsets([examples]))[examples]
            consumer.seek(examples, max(first, self.offset - REMEMBERED))
            while True:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        await self.read(record)
        finally:
            await consumer.stop()

    async def resume(self, consumer: Any) -> None:
        """Go on from the newest snapshot that can be trusted."""
        tp = aiokafka.TopicPartition(MODEL_SNAPSHOTS, 0)
        consumer.assign([tp])
        consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
        while not await read_whole(consumer, [tp]):
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    self._take(record.value)

    async def read(self, record: Any) -> None:
        """Learn one record of `training-examples`, and publish a snapshot when one is due.

        One from before the newest snapshot, or with an id that came before, is only remembered.
        """
        known = record.offset < self.offset
        self.offset = max(self.offset, record.offset + 1)
        try:
            example = TrainingExample.model_validate_json(record.value or b"")
            vector = np.array([example.inputs[name] for name in INPUTS])
        except (ValidationError, KeyError) as error:
            log.error("%s, offset %d: not learned: %s", TRAINING_EXAMPLES, record.offset, error)
            return
        known |= example.id in self._ids
        self._ids[example.id] = None
        if len(self._ids) > REMEMBERED:
            del self._ids[next(iter(self._ids))]
        if not known:
            await self._learn(example, vector)

    async def _learn(self, example: TrainingExample, vector: NDArray[np.float64]) -> None:
        self.learner.learn(vector, example.label, example.scored_time)
        self._since += 1
        if self._since >= self._every:
            await self._publisher.publish([snapshot_message(self.learner, self.offset, self._key)])
            self._since = 0

    def _take(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            snapshot = open_snapshot(value, self._key)
            if snapshot.training_offset > self.offset:
                self.learner, self.offset = restore_learner(snapshot), snapshot.training_offset
        except (Untrusted, OtherSchema, KeyError) as error:
            log.error("a snapshot is passed over: %s", error)
