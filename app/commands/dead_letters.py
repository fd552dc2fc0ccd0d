"""`duewatch dead-letters`: what was refused and why, and sending it once more."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app.commands import options
from app.console import err, explained, fail, out
from app.settings import SettingsInvalid, load_settings

if TYPE_CHECKING:
    from app.dead_letters import Choice

commands = typer.Typer(no_args_is_help=True, help="See what was refused, and send it once more.")

Topic = Annotated[str | None, typer.Option(help="Only those that came from this topic.", show_default=False)]
Error = Annotated[str | None, typer.Option(help="Only this class of error.", show_default=False)]
Partition = Annotated[int | None, typer.Option(help="Only those that came from this partition.", show_default=False)]
Offsets = Annotated[
    str | None,
    typer.Option(metavar="FIRST:LAST", help="Only those that had these offsets in their topic.", show_default=False),
]
Since = Annotated[
    datetime | None, typer.Option(help="Only those that were refused at this time (UTC) or later.", show_default=False)
]
Until = Annotated[
    datetime | None, typer.Option(help="Only those that were refused before this time (UTC).", show_default=False)
]


@commands.command("list")
def list_(
    kafka: options.Kafka = None,
    topic: Topic = None,
    error: Error = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many there are of each kind.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the dead letters with their reasons.

    Examples:
    * duewatch dead-letters list --counts

    * duewatch dead-letters list --topic purchases --error contract --since 2026-01-31T08:00:00
    """
    from app.dead_letters import chosen
    from app.kafka import KafkaUnavailable
    from app.lines import line_of

    async def run() -> Counter[tuple[str, str]]:
        kinds: Counter[tuple[str, str]] = Counter()
        async with aclosing(chosen(settings, choice)) as letters:
            async for letter in letters:
                headers = {name: text.decode(errors="backslashreplace") for name, text in letter.headers}
                kinds[headers.get("topic", ""), headers.get("error", "")] += 1
                if counts:
                    continue
                if as_json:
                    value = (letter.value or b"").decode(errors="backslashreplace")
                    out.print(json.dumps({**headers, "value": value}), markup=False, soft_wrap=True)
                else:
                    out.print(line_of("dead-letters", letter.value, letter.headers), soft_wrap=True)
        return kinds

    choice = _choice(topic, error, partition, offsets, since, until)
    with explained(SettingsInvalid, KafkaUnavailable):
        settings = load_settings(kafka_bootstrap=kafka)
        kinds = asyncio.run(run())
    if counts:
        _show_counts(kinds, as_json=as_json)


@commands.command()
def replay(
    kafka: options.Kafka = None,
    topic: Topic = None,
    error: Error = None,
    partition: Partition = None,
    offsets: Offsets = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Send dead letters to the topics they came from, with their own keys and bytes: after a mapping was mended.

    Each refused record is sent once. What is refused again becomes a new dead letter. Letters stay in their topic, so
    replaying twice sends them twice; what was applied already is then dropped by its event id, as long as that is
    among the newest events of its user.

    Examples:
    * duewatch dead-letters replay --error currency-without-rate --dry-run

    * duewatch dead-letters replay --topic purchases --partition 3 --offsets 1200:1260
    """
    from app.dead_letters import replay as send
    from app.kafka import KafkaUnavailable

    choice = _choice(topic, error, partition, offsets, since, until)
    with explained(SettingsInvalid, KafkaUnavailable):
        found = asyncio.run(send(load_settings(kafka_bootstrap=kafka), choice, dry_run=dry_run))
    out.print(f"{found.sent.total()} dead letters {'would be' if dry_run else 'were'} sent again")
    for name, count in sorted(found.sent.items()):
        out.print(f"  {name:<16} {count:>10,}")
    for reason, count in found.skipped.items():
        err.print(f"{count:,} were not sent: they {reason}", markup=False)


def _choice(
    topic: str | None,
    error: str | None,
    partition: int | None,
    offsets: str | None,
    since: datetime | None,
    until: datetime | None,
) -> "Choice":
    from app.dead_letters import Choice

    bounds: tuple[int, int] | None = None
    if offsets is not None:
        if topic is None or partition is None:
            fail("offsets mean something in one partition only: give --topic and --partition as well")
        first, _, last = offsets.partition(":")
        if not (first.isdecimal() and last.isdecimal()):
            fail(f"--offsets reads FIRST:LAST, as 1200:1260, not {offsets!r}")
        bounds = int(first), int(last)
    return Choice(topic, error, partition, bounds, _milliseconds(since), _milliseconds(until))


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.replace(tzinfo=UTC).timestamp() * 1000)


def _show_counts(kinds: Counter[tuple[str, str]], *, as_json: bool) -> None:
    rows: Iterable[Any] = sorted(kinds.items())
    if as_json:
        counted = [{"topic": topic, "error": error, "count": count} for (topic, error), count in rows]
        out.print(json.dumps(counted), markup=False, soft_wrap=True)
        return
    table = Table("topic", "error", "count")
    for (topic, error), count in rows:
        table.add_row(topic, error, f"{count:,}")
    out.print(table)
