"""`duewatch replay`: the same decisions as the service makes, from files, without Kafka and Redis."""

import gc
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import options
from app.console import err, explained, fail, out
from app.settings import Settings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from replay.engine import Engine
    from replay.preparing import Prepared
    from replay.sinks import Sink


AsOf = Annotated[
    datetime | None,
    typer.Option(
        help="Also fire the timers up to this time (UTC): due dates after the last event.", show_default=False
    ),
]
ReadAhead = Annotated[
    bool | None,
    typer.Option(
        "--read-ahead/--no-read-ahead",
        help="Read and decode in a process of its own, ahead of deciding; makes no difference but speed. If not given: "
        "for large files, where there are two processors.",
        show_default=False,
    ),
]


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
    as_of: AsOf = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at once; makes no difference but speed.")] = 8_000,
    learn: Annotated[
        bool, typer.Option(help="Learn from labels as they mature; else the expert scorecard decides throughout.")
    ] = True,
    read_ahead: ReadAhead = None,
) -> None:
    """Score and decide a file of contract events, as fast as the machine can. The same input gives the same bytes.

    Events are applied in the order of the files. The default probability of an event is decided before anything that
    comes later is known.

    Examples:
    * duewatch replay events.jsonl.gz --scores scores.csv --decisions decisions.jsonl

    * duewatch replay book.parquet --policy stricter.yaml --as-of 2024-06-30
    """
    from app.core import money
    from policy.policy import PolicyError
    from replay.ahead import ReaderLost, batches
    from replay.files import UnreadableFile
    from replay.report import lines
    from replay.sinks import UnknownSuffix, open_files

    expected: tuple[type[Exception], ...] = (
        SettingsInvalid,
        PolicyError,
        UnreadableFile,
        ReaderLost,
        UnknownSuffix,
        OSError,
        ValueError,
    )
    with explained(*expected), open_files(decisions, scores, dead_letters) as sink:
        settings = load_settings(policy_file=policy, currency=currency)
        # Another process starts to read while this one gets ready to decide.
        with batches(files, money(settings), batch_size, ahead=read_ahead) as prepared:
            engine = _engine(settings, sink, learn=learn, wants_scores=scores is not None)
            began = time.perf_counter()
            _run(engine, files, prepared)
        engine.finish(None if as_of is None else int(as_of.replace(tzinfo=UTC).timestamp()))
    for line in lines(engine.tally, time.perf_counter() - began):
        out.print(line, markup=False)
    if not engine.tally.accounted:
        fail("some rows are not accounted for: this is a defect of Duewatch")


def _engine(settings: Settings, sink: "Sink", *, learn: bool, wants_scores: bool) -> "Engine":
    from app.core import first_in_force
    from app.kernels import DECIDING
    from features.kernel import compile_kernels
    from replay.engine import Engine
    from scoring.learner import Learner

    with err.status("preparing"):
        compile_kernels(*DECIDING)
    engine = Engine(first_in_force(settings), sink, Learner() if learn else None, wants_scores=wants_scores)
    # What the imports left is never garbage: it need not be looked at again and again.
    gc.collect()
    gc.freeze()
    return engine


def _run(engine: "Engine", files: Sequence[Path], prepared: "Iterator[Prepared]") -> None:
    from rich.progress import BarColumn, Progress, TextColumn

    total = sum(path.stat().st_size for path in files if path.exists())
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"))
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("replaying", total=total or None, rows=0)
        file = 0
        for batch in prepared:
            done = sum(path.stat().st_size for path in files[file : batch.file])
            file = batch.file
            engine.work_off(batch)
            progress.update(task, advance=done, rows=engine.tally.records)
