"""Every topic: how it is keyed, split, kept and stamped."""

from dataclasses import dataclass
from typing import Literal

from messages.inputs import BROADCAST_TOPICS, USER_TOPICS
from messages.journal import JOURNAL
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, MODEL_SNAPSHOTS, TRAINING_EXAMPLES

_DAY_MS = 86_400_000
#: How long everything is kept that it takes to decide a batch again, days: no restored store may be older.
KEPT_DAYS = 14


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. `partitions` "input" means: as many as the deployment gives to all user-keyed inputs.

    `retention_days` 0 keeps records for ever; a compacted topic keeps the newest of each key.
    """

    name: str
    keyed_by: str
    direction: Literal["input", "output"]
    partitions: int | Literal["input"]
    compacted: bool
    retention_days: int

    def partition_count(self, inputs: int) -> int:
        """Number of partitions where the user-keyed inputs have `inputs`."""
        return inputs if self.partitions == "input" else self.partitions

    def settings(self) -> dict[str, str]:
        """Kafka's topic configuration."""
        settings = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_days * _DAY_MS if self.retention_days else -1),
        }
        if self.compacted:
            # A batch that is decided again needs the versions that it was decided with.
            settings["min.compaction.lag.ms"] = str(KEPT_DAYS * _DAY_MS)
        if self.direction == "input":
            # Arrival is what far-future event times are held against: a producer's clock must not set it.
            settings["message.timestamp.type"] = "LogAppendTime"
        return settings


def _user_keyed(name: str, direction: Literal["input", "output"], days: int) -> TopicSpec:
    return TopicSpec(name, "user_id", direction, "input", compacted=False, retention_days=days)


INPUTS: tuple[TopicSpec, ...] = (
    *(_user_keyed(name, "input", KEPT_DAYS) for name in USER_TOPICS),
    TopicSpec("market", "region", "input", 1, compacted=False, retention_days=0),
    TopicSpec("policies", "name", "input", 1, compacted=True, retention_days=0),
)
OUTPUTS: tuple[TopicSpec, ...] = (
    *(_user_keyed(name, "output", 90) for name in DECISION_TOPICS if name != TRAINING_EXAMPLES),
    # One trainer learns them in one order, and its snapshot holds one offset.
    TopicSpec(TRAINING_EXAMPLES, "user_id", "output", 1, compacted=False, retention_days=90),
    TopicSpec(DEAD_LETTERS, "original key", "output", "input", compacted=False, retention_days=30),
    TopicSpec(JOURNAL, "partition", "output", "input", compacted=False, retention_days=90),
    TopicSpec(MODEL_SNAPSHOTS, "name", "output", 1, compacted=True, retention_days=0),
)
ALL_TOPICS: tuple[TopicSpec, ...] = (*INPUTS, *OUTPUTS)
#: Outputs keyed by user that have as many partitions as the inputs: a user's decisions are where the user's events are.
CO_PARTITIONED = frozenset(spec.name for spec in OUTPUTS if spec.partitions == "input" and spec.keyed_by == "user_id")

#: Topic of an input event by its field `type`.
TOPIC_OF_TYPE: dict[str, str] = {
    model.model_fields["type"].default: topic
    for topic, models in (*USER_TOPICS.items(), *BROADCAST_TOPICS.items())
    for model in models
}
