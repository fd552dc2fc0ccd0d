"""`duewatch dead-letters`: what was refused and why, and sending it once more."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Any

import typer
from rich.table import Table

from app.commands import options
from app.console import explained, out
from app.settings import Settings, SettingsInvalid, load_settings

commands = typer.Typer(no_args_is_help=True, help="See what was refused, and send it once more.")

Topic = Annotated[str | None, typer.Option(help="Only those that came from this topic.", show_default=False)]
Error = Annotated[str | None, typer.Option(help="Only this class of error.", show_default=False)]


@commands.command("list")
def list_(
    kafka: options.Kafka = None,
    topic: Topic = None,
    error: Error = None,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many there are of each kind.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the dead letters with their reasons.

    Examples:
    * duewatch dead-letters list --counts

    * duewatch dead-letters list --topic purchases --error contract
    """
    letters = _read(kafka, topic, error)
    if counts:
        _show_counts(letters, as_json=as_json)
        return
    from app.lines import line_of

    for letter in letters:
        if as_json:
            headers = {name: text.decode(errors="backslashreplace") for name, text in letter.headers}
            value = (letter.value or b"").decode(errors="backslashreplace")
            out.print(json.dumps({**headers, "value": value}), markup=False, soft_wrap=True)
        else:
            out.print(line_of("dead-letters", letter.value, letter.headers), soft_wrap=True)


@commands.command()
def replay(
    kafka: options.Kafka = None,
    topic: Topic = None,
    error: Error = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Send dead letters to the topics they came from, with their own keys and bytes: after a mapping was mended.

    What is refused again becomes a new dead letter. Letters stay in their topic, so replaying twice sends them twice;
    what was applied already is then dropped as a duplicate.

    Example: duewatch dead-letters replay --error currency-without-rate
    """
    letters = _read(kafka, topic, error)
    whole = [letter for letter in letters if not any(name.startswith("original-") for name, _ in letter.headers)]
    if not dry_run:
        from app.kafka import KafkaUnavailable

        with explained(KafkaUnavailable):
            asyncio.run(_send(load_settings(kafka_bootstrap=kafka), whole))
    out.print(f"{len(whole)} dead letters {'would be' if dry_run else 'were'} sent again")
    if len(whole) < len(letters):
        out.print(f"{len(letters) - len(whole)} were too long to be kept whole and cannot be sent")


def _read(kafka: str | None, topic: str | None, error: str | None) -> list[Any]:
    from app.kafka import KafkaUnavailable, read_topics

    async def run(settings: Settings) -> list[Any]:
        found = read_topics(settings, ["dead-letters"], from_start=True, follow=False)
        return [letter async for letter in found if _wanted(dict(letter.headers), topic, error)]

    with explained(SettingsInvalid, KafkaUnavailable):
        return asyncio.run(run(load_settings(kafka_bootstrap=kafka)))


def _wanted(headers: dict[str, bytes], topic: str | None, error: str | None) -> bool:
    return (topic is None or headers.get("topic") == topic.encode()) and (
        error is None or headers.get("error") == error.encode()
    )


async def _send(settings: Settings, letters: list[Any]) -> None:
    from app.kafka import publisher

    async with publisher(settings) as target:
        for letter in letters:
            await target.send(dict(letter.headers)["topic"].decode(), letter.key, letter.value)
        await target.settle()


def _show_counts(letters: list[Any], *, as_json: bool) -> None:
    kinds = Counter(
        (dict(letter.headers)["topic"].decode(), dict(letter.headers)["error"].decode()) for letter in letters
    )
    if as_json:
        rows = [{"topic": topic, "error": error, "count": count} for (topic, error), count in sorted(kinds.items())]
        out.print(json.dumps(rows), markup=False, soft_wrap=True)
        return
    table = Table("topic", "error", "count")
    for (topic, error), count in sorted(kinds.items()):
        table.add_row(topic, error, f"{count:,}")
    out.print(table)
