"""`duewatch demo`: the whole service on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from app.console import explained, out


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("demo")(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, to explore.")] = False,
    sample: Annotated[
        Path | None,
        typer.Option(
            help="Other clients of the Taiwan data, .csv or .csv.gz; 1,000 ship.", exists=True, show_default=False
        ),
    ] = None,
) -> None:
    """Run the whole service on public data of 1,000 credit-card clients, with an embedded broker and store.

    Nothing is installed and nothing stays behind. Half a year of purchases, statements and repayments goes through a
    real worker; you see the first warnings and limit changes as they come, and in the end how well the default
    probability ranked the clients that defaulted.

    Examples:
    * duewatch demo

    * duewatch demo --keep
    """
    from app.demo import DemoFailed, run_demo
    from app.demo_screen import Screen
    from app.embedded import EmbeddedFailed
    from app.kafka import KafkaUnavailable
    from app.settings import SettingsInvalid

    with explained(DemoFailed, EmbeddedFailed, KafkaUnavailable, SettingsInvalid):
        try:
            run_demo(Screen(out), sample, keep=keep)
        except KeyboardInterrupt:
            out.print("stopped")
            raise typer.Exit(130) from None
