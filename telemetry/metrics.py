"""Every metric that Duewatch exposes: name, type, labels and meaning in one place.

Base units only (seconds, bytes, ratios). No label holds a user id or free text. Labels that name a trigger, policy or
model are bounded by the policy file and by the models trained.
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

#: Around the latency budget of 50 ms (99 of 100) and what a slow dependency adds.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS = (1.0, 10.0, 100.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as declared; `unit` is what one step of its value is."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(f"duewatch_{name}_total", "counter", unit, text, labels)


def _gauge(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(f"duewatch_{name}", "gauge", unit, text, labels)


def _histogram(name: str, unit: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"duewatch_{name}", "histogram", unit, text, labels, buckets)


FETCHED = _counter("fetched_records", "record", "Records handed over by the transport.", "topic")
EVENTS = _counter("events", "event", "User events in committed batches: applied or duplicate.", "disposition")
DEAD_LETTERS = _counter("dead_letters", "record", "Records refused, by topic and class of error.", "topic", "error")
TIMERS = _counter("timers", "timer", "Timers of users that came due.")
WARNINGS = _counter("warnings", "message", "Warnings raised, escalated or cleared.", "trigger", "status")
LIMIT_CHANGES = _counter("limit_changes", "message", "Limit adjustments decided.", "direction")
LIMIT_DECISIONS = _counter("limit_decisions", "message", "Answers to limit requests.", "reason", "outcome")
SCORE_CHANGES = _counter(
    "score_changes", "message", "Score changes decided, by the new grade and how it compares.", "grade", "move"
)
COLLECTION_ACTIONS = _counter("collection_actions", "message", "Collection steps begun or stopped.", "step", "action")
TRAINING_EXAMPLES = _counter(
    "training_examples",
    "message",
    "Labels that matured: positive, negative, or dropped because the model's inputs had changed meanwhile.",
    "label",
)
PUBLISHED = _counter("published_messages", "message", "Messages that the broker has confirmed.", "topic")

BATCH_EVENTS = _histogram("batch_events", "event", "Events decided at once.", BATCH_BUCKETS)
BATCH_SECONDS = _histogram("batch_seconds", "second", "From gathering a batch to its commit.", LATENCY_BUCKETS)
DECISION_DELAY = _histogram(
    "decision_delay_seconds",
    "second",
    "From the timestamp of the record that led to a decision to the broker's confirmation of the decision.",
    LATENCY_BUCKETS,
)

PARTITIONS_OWNED = _gauge("partitions_owned", "partition", "Partitions that this worker works on.")
LAG = _gauge("lag_records", "record", "Records of the log that no batch has taken yet.", "topic", "partition")
COMMITS = _counter("commits", "commit", "Atomic commits of a partition by result: done or stale.", "result")
RESTORED = _counter(
    "restored_batches",
    "batch",
    "Batches that the store had forgotten: decided again from the journal with the same outcome, or perhaps otherwise.",
    "result",
)
HELD_BACK = _counter("held_back", "wait", "Waits of other topics for unread records of this one.", "topic")
REWINDS = _counter("rewinds", "rewind", "Fetches sought back so that no record is skipped.", "topic")
SKIPPED = _counter(
    "skipped_offsets",
    "offset",
    "Holes in a log: `compacted` held no record of ours, `lost` was deleted before it was read.",
    "topic",
    "reason",
)
RETRIES = _counter("retries", "attempt", "Calls of a dependency (store, broker) tried again.", "dependency")
BROADCASTS_REFUSED = _counter(
    "broadcasts_refused", "message", "Policies, indicators and models that were not understood.", "topic"
)
IN_FORCE = _gauge("in_force_info", "1", "Versions in force on this worker; always 1.", "policy", "market", "model")
READY = _gauge("ready", "boolean", "1 while the worker is ready to work, else 0.")

#: All of them, in the order above.
METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


class Registry:
    """The live values of all declared metrics; each process, and each test, makes its own."""

    def __init__(self) -> None:
        self._collectors = CollectorRegistry()
        self._live: dict[str, Counter | Gauge | Histogram] = {metric.name: self._make(metric) for metric in METRICS}
        # By metric and values of labels: the library's own look-up checks names and takes a lock each time.
        self._children: dict[str, dict[tuple[str, ...], Counter | Gauge | Histogram]] = {
            metric.name: {} for metric in METRICS
        }

    def add(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Count `amount` more of a counter."""
        live = self._child(metric, labels)
        if not isinstance(live, Counter):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        live.inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        live = self._child(metric, labels)
        if not isinstance(live, Gauge):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        live.set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Take one more observation into a histogram."""
        live = self._child(metric, labels)
        if not isinstance(live, Histogram):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        live.observe(value)

    def forget(self, metric: Metric) -> None:
        """Drop all combinations of label values of a metric."""
        self._live[metric.name].clear()
        self._children[metric.name].clear()

    def remove(self, metric: Metric, **labels: str) -> None:
        """Drop one combination of label values, if it is there."""
        with contextlib.suppress(KeyError):
            self._live[metric.name].remove(*(labels[name] for name in metric.labels))
            self._children[metric.name].clear()

    def value(self, metric: Metric, **labels: str) -> float:
        """The present value of a counter or gauge; 0 where it was never touched."""
        value = self._collectors.get_sample_value(metric.name, labels)
        return 0.0 if value is None else value

    def exposition(self) -> bytes:
        """All values in Prometheus's text format."""
        return generate_latest(self._collectors)

    def _child(self, metric: Metric, labels: dict[str, str]) -> Counter | Gauge | Histogram:
        if not metric.labels:
            return self._live[metric.name]
        if tuple(labels) != metric.labels:
            return self._live[metric.name].labels(**labels)
        children, values = self._children[metric.name], tuple(labels.values())
        child = children.get(values)
        if child is None:
            child = children[values] = self._live[metric.name].labels(**labels)
        return child

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        if metric.kind == "histogram":
            return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self._collectors)
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(metric.name, metric.help, metric.labels, registry=self._collectors)
