"""What the agents report, as metrics. It has the methods of the agents' `Meters` protocol without knowing of it."""

from collections.abc import Mapping, Sequence

from telemetry import metrics
from telemetry.metrics import Metric, Registry


class PrometheusMeters:
    """Puts every report into a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._in_force: tuple[str, str, str] | None = None

    def fetched(self, topic: str, records: int) -> None:
        """`records` were handed over by the transport."""
        self._registry.add(metrics.FETCHED, records, topic=topic)

    def sought_back(self, topic: str) -> None:
        """A fetch was not delivered, its position was restored."""
        self._registry.add(metrics.REWINDS, topic=topic)

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        """A hole of so many offsets was believed."""
        self._registry.add(metrics.SKIPPED, offsets, topic=topic, reason="lost" if lost else "compacted")

    def unread(self, topic: str, partition: int, records: int | None) -> None:
        """Records that no batch has taken yet; None when the partition is no longer owned."""
        if records is None:
            self._registry.remove(metrics.LAG, topic=topic, partition=str(partition))
        else:
            self._registry.set(metrics.LAG, records, topic=topic, partition=str(partition))

    def committed(self, events: int, duplicates: int, timers: int, seconds: float) -> None:
        """A batch is committed: `events` of which `duplicates`, and `timers` that came due."""
        self._registry.add(metrics.COMMITS, result="done")
        self._registry.add(metrics.EVENTS, events - duplicates, disposition="applied")
        self._registry.add(metrics.EVENTS, duplicates, disposition="duplicate")
        self._registry.add(metrics.TIMERS, timers)
        self._registry.observe(metrics.BATCH_EVENTS, events)
        self._registry.observe(metrics.BATCH_SECONDS, seconds)

    def answered(self, seconds: Sequence[float]) -> None:
        """For each decision, seconds from its event's record to the broker's confirmation of the decision."""
        for delay in seconds:
            self._registry.observe(metrics.DECISION_DELAY, max(0.0, delay))

    def refused(self, topic: str, error: str) -> None:
        """One record went to the dead letters."""
        self._registry.add(metrics.DEAD_LETTERS, topic=topic, error=error)

    def published(self, topic: str, messages: int) -> None:
        """Messages that the broker has confirmed."""
        self._registry.add(metrics.PUBLISHED, messages, topic=topic)

    def retried(self, dependency: str) -> None:
        """A call to a dependency failed and is tried again."""
        self._registry.add(metrics.RETRIES, dependency=dependency)

    def stale_owner(self) -> None:
        """A commit was refused because somebody else moved the partition."""
        self._registry.add(metrics.COMMITS, result="stale")

    def restored(self, batches: int) -> None:
        """Batches that the store had forgotten were decided again as the journal tells."""
        self._registry.add(metrics.RESTORED, batches, result="same")

    def journal_broken(self) -> None:
        """Batches that the store had forgotten could not be decided again as they were."""
        self._registry.add(metrics.RESTORED, result="otherwise")

    def partitions(self, owned: int) -> None:
        """Partitions owned after a rebalance."""
        self._registry.set(metrics.PARTITIONS_OWNED, owned)

    def held_back(self, topic: str) -> None:
        """Other topics had to wait until unread records of `topic` arrived."""
        self._registry.add(metrics.HELD_BACK, topic=topic)

    def in_force(self, policy: str, market: str, model: str) -> None:
        """Versions that the next batch takes."""
        if self._in_force != (policy, market, model):
            self._in_force = (policy, market, model)
            self._registry.forget(metrics.IN_FORCE)
            self._registry.set(metrics.IN_FORCE, 1, policy=policy, market=market, model=model)

    def broadcast_refused(self, topic: str) -> None:
        """A policy, market or model message was not understood; the old one stays in force."""
        self._registry.add(metrics.BROADCASTS_REFUSED, topic=topic)

    def counted(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """What a committed batch decided: by topic, label and outcome as `decisions.outcome.Outcome` says.

        Raises KeyError for a topic of decisions that has no metric.
        """
        for (topic, label, outcome), count in counts.items():
            metric, names = _DECISIONS[topic]
            given = {"label": label, "outcome": outcome}
            self._registry.add(metric, count, **{ours: given[theirs] for ours, theirs in names.items()})


#: By topic: the metric, and which of its labels takes the decision's label and which its outcome.
_DECISIONS: dict[str, tuple[Metric, dict[str, str]]] = {
    "warnings": (metrics.WARNINGS, {"trigger": "label", "status": "outcome"}),
    "limit-adjustments": (metrics.LIMIT_CHANGES, {"direction": "label"}),
    "limit-decisions": (metrics.LIMIT_DECISIONS, {"reason": "label", "outcome": "outcome"}),
    "score-changes": (metrics.SCORE_CHANGES, {"grade": "label", "move": "outcome"}),
    "collection-actions": (metrics.COLLECTION_ACTIONS, {"step": "label", "action": "outcome"}),
    "training-examples": (metrics.TRAINING_EXAMPLES, {"label": "outcome"}),
}
