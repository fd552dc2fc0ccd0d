"""What a replay counts, and how it tells."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from decisions.outcome import Outcome
from messages.verdict import Refusal

DUPLICATE = 0


@dataclass(slots=True)
class Tally:
    """Counts of one replay. Every row of the input is applied, a duplicate, a broadcast or a dead letter."""

    records: int = 0
    applied: int = 0
    duplicates: int = 0
    broadcasts: int = 0
    users: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)  # by class of error
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # decisions by topic, label and outcome

    def decided(self, outcome: Outcome) -> None:
        """Count what one batch brought."""
        repeated = int(np.count_nonzero(outcome.disposition == DUPLICATE))
        self.duplicates += repeated
        self.applied += len(outcome.disposition) - repeated
        self.counts.update(outcome.counts)

    def refused(self, refusals: Sequence[Refusal]) -> None:
        """Count dead letters."""
        self.dead_letters.update(str(refusal.error) for refusal in refusals)

    @property
    def accounted(self) -> bool:
        """Whether no row got lost."""
        return self.records == self.applied + self.duplicates + self.broadcasts + self.dead_letters.total()


def lines(tally: Tally, seconds: float) -> Iterator[str]:
    """The summary for people, one line each."""
    rate = tally.records / seconds if seconds > 0 else 0.0
    yield f"{tally.records:,} rows of {tally.users:,} users in {seconds:.2f} s ({rate:,.0f} events/s)"
    yield f"applied {tally.applied:,}, duplicates {tally.duplicates:,}, market and policies {tally.broadcasts:,}"
    letters = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.dead_letters.items()))
    yield f"dead letters {tally.dead_letters.total():,}" + (f": {letters}" if letters else "")
    topics: Counter[str] = Counter()
    for (topic, _, _), count in tally.counts.items():
        topics[topic] += count
    yield "decisions " + (", ".join(f"{topic} {count:,}" for topic, count in sorted(topics.items())) or "none")
    yield from count_lines(tally.counts)


def count_lines(counts: Mapping[tuple[str, str, str], int]) -> Iterator[str]:
    """Warnings by trigger, the most frequent first, and limit changes by direction."""
    warnings: dict[str, Counter[str]] = {}
    limits: Counter[str] = Counter()
    for (topic, label, outcome), count in counts.items():
        if topic == "warnings":
            warnings.setdefault(label, Counter())[outcome] += count
        elif topic == "limit-adjustments":
            limits[label] += count
    for trigger, found in sorted(warnings.items(), key=lambda item: (-item[1]["raised"], item[0])):
        yield f"warning {trigger}: " + ", ".join(
            f"{found[name]:,} {name}" for name in ("raised", "escalated", "cleared")
        )
    if limits:
        yield "limits " + ", ".join(f"{count:,} {direction}" for direction, count in sorted(limits.items()))
