"""What the oracle found."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

MOST_KEPT = 50


@dataclass(slots=True)
class Findings:
    """Counts over all partitions, and in what the run differs from what the topics alone lead to.

    `late` counts applied events behind the watermark, `decisions` what had to be decided, `published` all messages of
    the decisions' topics, `repeated` those of them that had been published before, `letters_repeated` the same of dead
    letters, `reordered` the users of whom a topic got a decision before an earlier one and then both once more in
    their order. `checked` users were recomputed without the kernels. Of `differences` the first are kept.
    """

    records: int = 0
    applied: int = 0
    duplicates: int = 0
    late: int = 0
    dead_letters: int = 0
    letters_repeated: int = 0
    decisions: int = 0
    published: int = 0
    repeated: int = 0
    reordered: int = 0
    journal_entries: int = 0
    users: int = 0
    checked: int = 0
    seconds: float = 0.0
    total: int = 0  # differences, also those not kept
    differences: list[str] = field(default_factory=list)

    def differs(self, text: str) -> None:
        """Note one difference."""
        self.total += 1
        if len(self.differences) < MOST_KEPT:
            self.differences.append(text)

    def add(self, other: "Findings") -> None:
        """Add those of another partition; time passes for all at once."""
        for entry in fields(self):
            if entry.name not in ("differences", "seconds"):
                setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))
        self.seconds = max(self.seconds, other.seconds)
        self.differences = (self.differences + other.differences)[:MOST_KEPT]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"{self.records:,} records: {self.applied:,} applied ({self.late:,} late), {self.duplicates:,} duplicates, "
            f"{self.dead_letters:,} dead letters"
        )
        yield (
            f"{self.journal_entries:,} batches led to {self.decisions:,} decisions; {self.published:,} published, "
            f"{self.repeated:,} of them once more, {self.reordered:,} reordered; "
            f"{self.letters_repeated:,} dead letters once more"
        )
        yield f"{self.users:,} users, {self.checked:,} of them recomputed without the kernels; {self.seconds:.0f} s"
        yield f"{self.total:,} differences" + (":" if self.total else "")
        yield from (f"  {text}" for text in self.differences)
        if self.total > len(self.differences):
            yield f"  and {self.total - len(self.differences):,} more"
