"""What the agents tell the outside about their work; `telemetry` implements it, tests may stay silent."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Meters(Protocol):
    """One call per batch or rarer, never per event. Labels are topics, partition numbers and error classes only."""

    def fetched(self, topic: str, records: int) -> None:
        """`records` were handed over by the transport."""
        ...

    def sought_back(self, topic: str) -> None:
        """A fetch was not delivered, its position was restored."""
        ...

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        """A hole was believed: compaction or transaction markers, or (`lost`) records deleted before they were read."""
        ...

    def unread(self, topic: str, partition: int, records: int | None) -> None:
        """Records of the log that no batch has taken yet; None when the partition is no longer owned."""
        ...

    def committed(self, events: int, duplicates: int, timers: int, seconds: float) -> None:
        """A batch is committed; `seconds` from gathering it to the commit."""
        ...

    def counted(self, counts: Mapping[Any, Any]) -> None:
        """What a committed batch decided, as `decisions` counts it (`Outcome.counts`)."""
        ...

    def answered(self, seconds: Sequence[float]) -> None:
        """For each decision, seconds from its event's record to the broker's confirmation of the decision."""
        ...

    def refused(self, topic: str, error: str) -> None:
        """One record went to the dead letters with this error class."""
        ...

    def published(self, topic: str, messages: int) -> None:
        """Messages that the broker has confirmed."""
        ...

    def retried(self, dependency: str) -> None:
        """A call to "store" or "broker" failed and is tried again."""
        ...

    def stale_owner(self) -> None:
        """A commit was refused because somebody else moved the partition."""
        ...

    def restored(self, batches: int) -> None:
        """Batches that the store had forgotten were decided again as the journal tells."""
        ...

    def journal_broken(self) -> None:
        """Batches that the store had forgotten could not be decided again as they were."""
        ...

    def partitions(self, owned: int) -> None:
        """Partitions owned after a rebalance."""
        ...

    def held_back(self, topic: str) -> None:
        """Other topics had to wait (once per wait) until unread records of `topic` arrived."""
        ...

    def in_force(self, policy: str, market: str, model: str) -> None:
        """Versions that the next batch takes."""
        ...

    def broadcast_refused(self, topic: str) -> None:
        """A policy, market or model message was not understood; the old one stays in force."""
        ...


class SilentMeters:
    """Counts nothing."""

    def fetched(self, topic: str, records: int) -> None:
        """Do nothing."""

    def sought_back(self, topic: str) -> None:
        """Do nothing."""

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        """Do nothing."""

    def unread(self, topic: str, partition: int, records: int | None) -> None:
        """Do nothing."""

    def committed(self, events: int, duplicates: int, timers: int, seconds: float) -> None:
        """Do nothing."""

    def counted(self, counts: Mapping[Any, Any]) -> None:
        """Do nothing."""

    def answered(self, seconds: Sequence[float]) -> None:
        """Do nothing."""

    def refused(self, topic: str, error: str) -> None:
        """Do nothing."""

    def published(self, topic: str, messages: int) -> None:
        """Do nothing."""

    def retried(self, dependency: str) -> None:
        """Do nothing."""

    def stale_owner(self) -> None:
        """Do nothing."""

    def restored(self, batches: int) -> None:
        """Do nothing."""

    def journal_broken(self) -> None:
        """Do nothing."""

    def partitions(self, owned: int) -> None:
        """Do nothing."""

    def held_back(self, topic: str) -> None:
        """Do nothing."""

    def in_force(self, policy: str, market: str, model: str) -> None:
        """Do nothing."""

    def broadcast_refused(self, topic: str) -> None:
        """Do nothing."""
