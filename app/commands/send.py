"""`duewatch send`: publish files of contract events."""

import asyncio
import time
from typing import Annotated

import typer

from app.commands import options
from app.console import err, explained, out
from app.settings import SettingsInvalid, load_settings


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("send")(send)


def send(
    files: options.Files,
    kafka: options.Kafka = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Event time per real time: 3600 sends an hour a second. As fast as possible if not given."
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Send every row to this topic as it is, valid or not.", show_default=False)
    ] = None,
) -> None:
    """Publish contract events from files; an event's `type` implies its topic.

    Rows are sent in the order of the file, an hour of event time after the other, each acknowledged before the next:
    so what belongs together in time arrives together, whatever topics it is spread over. Rows that belong to no topic
    are counted and named, not sent.

    Examples:
    * duewatch send events.jsonl.gz

    * duewatch send january.parquet february.parquet --speed 86400
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from app.kafka import KafkaUnavailable
    from app.sending import Sent, send_files
    from replay.files import UnreadableFile, count_records

    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.perf_counter()
    with explained(SettingsInvalid, KafkaUnavailable, UnreadableFile), Progress(*columns, console=err) as progress:
        task = progress.add_task("sending", total=sum(count_records(path) for path in files))

        def report(sent: Sent) -> None:
            progress.update(task, completed=sent.published + len(sent.misfits))

        settings = load_settings(kafka_bootstrap=kafka)
        sent = asyncio.run(send_files(settings, files, topic=topic, speed=speed, report=report))
    seconds = time.perf_counter() - began
    out.print(f"published {sent.published:,} events in {seconds:.1f} s ({sent.published / seconds:,.0f}/s)")
    for name, count in sorted(sent.by_topic.items()):
        out.print(f"  {name:<16} {count:>10,}")
    for path, misfit in sent.misfits[:20]:
        err.print(f"{path} row {misfit.record.offset + 1} not sent: {misfit.error}: {misfit.message}", markup=False)
    if sent.misfits:
        err.print(f"{len(sent.misfits):,} rows belong to no topic; --topic sends them all the same", markup=False)
        raise typer.Exit(1)
