"""What the demo shows while it runs: a live table on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.lines import line_of
from app.sending import Sent

#: Of each topic the first few messages are shown as they come.
FIRST = {"warnings": 8, "limit-adjustments": 6, "dead-letters": 3}
OPENED = b'"direction":"opened"'
PLAIN_SECONDS = 5.0


class Screen:
    """Prints to a Rich console, in a way that suits it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._live: Live | None = None
        self._published = self._applied = self._all = 0
        self._counts: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        self._said = 0.0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._tasks = {name: self._progress.add_task(name) for name in ("published", "accounted for")}

    def step(self, text: str) -> None:
        """What begins now, with the seconds since the start."""
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/]  {text}", soft_wrap=True)

    def line(self, text: str) -> None:
        """A line as it is, in Rich's markup."""
        self._console.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, count: int) -> Iterator[None]:
        """Show progress towards `count` events within the block."""
        self._all = count
        for task in self._tasks.values():
            self._progress.update(task, total=count)
        if not self._console.is_terminal:
            yield
            self._plain(final=True)
            return
        with Live(self._table(), console=self._console, refresh_per_second=8) as self._live:
            yield
            self._refresh()
        self._live = None

    def sent(self, sent: Sent) -> None:
        """So much is published."""
        self._published = sent.published
        self._refresh()

    def done(self, events: int) -> None:
        """So much is applied, a duplicate or a dead letter."""
        self._applied = events
        self._refresh()

    def decision(self, topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """A message has come; the first few of each topic are shown, limits with which accounts open left out."""
        self._counts[topic] += 1
        if OPENED not in (value or b"") and self._shown[topic] < FIRST[topic]:
            self._shown[topic] += 1
            self._console.print(f"  [bold]{topic}[/] {line_of(topic, value, headers)}", soft_wrap=True)
        self._refresh()

    def _refresh(self) -> None:
        self._progress.update(self._tasks["published"], completed=self._published)
        self._progress.update(self._tasks["accounted for"], completed=self._applied)
        if self._live is not None:
            self._live.update(self._table())
        elif not self._console.is_terminal and time.monotonic() - self._said > PLAIN_SECONDS:
            self._plain()

    def _plain(self, *, final: bool = False) -> None:
        if self._all and (final or self._published):
            self._said = time.monotonic()
            counts = ", ".join(f"{count:,} {topic}" for topic, count in sorted(self._counts.items()))
            done = f"published {self._published:,} of {self._all:,}, accounted for {self._applied:,}"
            self.step(f"{done}; {counts or 'no decisions yet'}")

    def _table(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for topic in FIRST:
            table.add_row(topic, f"{self._counts[topic]:,}")
        return Group(self._progress, table)
