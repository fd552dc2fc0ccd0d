"""`duewatch replay`: the same decisions as the service makes, from files, without Kafka and Redis."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands import options
from app.console import err, explained, fail, out
from app.settings import SettingsInvalid, load_settings


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("replay")(replay)


def replay(
    files: options.Files,
    scores: Annotated[
        Path | None,
        typer.Option(help="Write a row per applied event: .csv, .parquet or .jsonl.", show_default=False),
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="Write every decision: .jsonl.", show_default=False)] = None,
    dead_letters: Annotated[
        Path | None, typer.Option(help="Write what was refused, with row and reason: .jsonl.", show_default=False)
    ] = None,
    policy: options.PolicyFile = None,
    currency: options.Currency = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            help="Also fire the timers up to this time (UTC): due dates after the last event.", show_default=False
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at once; makes no difference but speed.")] = 8_000,
    learn: Annotated[
        bool, typer.Option(help="Learn from labels as they mature; else the expert scorecard decides throughout.")
    ] = True,
) -> None:
    """Score and decide a file of contract events, as fast as the machine can. The same input gives the same bytes.

    Events are applied in the order of the files. The default probability of an event is decided before anything that
    comes later is known.

    Examples:
    * duewatch replay events.jsonl.gz --scores scores.csv --decisions decisions.jsonl

    * duewatch replay book.parquet --policy stricter.yaml --as-of 2024-06-30
    """
    from policy.policy import PolicyError
    from replay.files import UnreadableFile
    from replay.report import lines
    from replay.sinks import UnknownSuffix, open_files

    expected: tuple[type[Exception], ...] = (
        SettingsInvalid,
        PolicyError,
        UnreadableFile,
        UnknownSuffix,
        OSError,
        ValueError,
    )
    with explained(*expected), open_files(decisions, scores, dead_letters) as sink:
        engine = _engine(sink, policy, currency, learn=learn, wants_scores=scores is not None)
        began = time.perf_counter()
        _run(engine, files, batch_size)
        engine.finish(None if as_of is None else int(as_of.replace(tzinfo=UTC).timestamp()))
    for line in lines(engine.tally, time.perf_counter() - began):
        out.print(line, markup=False)
    if not engine.tally.accounted:
        fail("some rows are not accounted for: this is a defect of Duewatch")


def _engine(sink: Any, policy: Path | None, currency: str | None, *, learn: bool, wants_scores: bool) -> Any:
    from app.core import decoder, first_in_force
    from app.kernels import DECIDING
    from features.kernel import compile_kernels
    from replay.engine import Engine
    from scoring.learner import Learner

    settings = load_settings(policy_file=policy, currency=currency)
    with err.status("preparing"):
        compile_kernels(*DECIDING)
    return Engine(
        first_in_force(settings), decoder(settings), sink, Learner() if learn else None, wants_scores=wants_scores
    )


def _run(engine: Any, files: list[Path], batch_size: int) -> None:
    from rich.progress import BarColumn, Progress, TextColumn

    from replay.files import chunks

    total = sum(path.stat().st_size for path in files if path.exists())
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"))
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("replaying", total=total or None, rows=0)
        row = 0
        for path in files:
            for batch in chunks(path, batch_size, first=row):
                engine.feed(batch)
                row += len(batch)
                progress.update(task, rows=row)
            progress.update(task, advance=path.stat().st_size)
