"""What a run of the harness came to, as a table and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.findings import Findings


@dataclass
class Report:
    """Figures of one run. `problems` are what should not have happened, beside the oracle's differences."""

    command: str
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    sent: int = 0
    restarts: int = 0
    exits: list[str] = field(default_factory=list)
    rebalances: int = 0
    rewinds: int = 0
    stale_commits: int = 0
    recovered: int = 0
    retries: int = 0
    seconds: float = 0.0
    settling: float = 0.0
    problems: list[str] = field(default_factory=list)
    findings: Findings | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, applied twice or different."""
        return self.findings is not None and not self.findings.differences and not self.problems

    def write(self, path: Path) -> None:
        """As JSON."""
        plain = {**vars(self), "findings": self.findings and asdict(self.findings), "passed": self.passed}
        path.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.command} (seed {self.seed})"
        rows: dict[str, object] = {
            "records sent": f"{self.sent:,}",
            "faults": self.faults.total(),
            "rebalances": self.rebalances,
            "rewinds (fetches sought back)": f"{self.rewinds:,}",
            "commits refused to stale owners": self.stale_commits,
            "batches decided again after a recovery": f"{self.recovered:,}",
            "calls of a dependency tried again": f"{self.retries:,}",
            "workers started again": self.restarts,
            "seconds under faults": f"{self.seconds:.0f}",
            "seconds until all was applied": f"{self.settling:.0f}",
        }
        if self.findings is not None:
            found = self.findings
            rows |= {
                "journal entries": f"{found.journal_entries:,}",
                "events applied": f"{found.applied:,}",
                "duplicates dropped": f"{found.duplicates:,}",
                "dead letters": f"{found.dead_letters:,}",
                "decisions": f"{found.decisions:,}",
                "published": f"{found.published:,}",
                "published twice": f"{found.repeated:,}",
                "users compared": f"{found.users:,}",
                "differences from the oracle": f"{found.total:,}",
            }
        width = max(map(len, rows))
        yield from (f"  {name:<{width}}  {value:>12}" for name, value in rows.items())
        yield "faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        yield from (f"  not inflicted: {text}" for text in self.missed)
        yield from (f"  ended by itself: {text}" for text in self.exits)
        yield from (f"  problem: {text}" for text in self.problems)
        if self.findings is not None:
            yield from (f"  difference: {text}" for text in self.findings.differences)
        yield "PASSED" if self.passed else "FAILED"
