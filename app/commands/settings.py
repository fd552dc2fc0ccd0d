"""`duewatch settings`: every setting, its default and its meaning."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.padding import Padding

from app.console import explained, out
from app.settings import SettingsInvalid, documented, load_settings, unknown_variables


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("settings")(settings)


def settings(
    check: Annotated[
        bool, typer.Option("--check", help="Also read the environment and say what is wrong with it.")
    ] = False,
) -> None:
    """Every setting: environment variable, default, meaning.

    Examples:
    * duewatch settings

    * DUEWATCH_PARTITIONS=sixteen duewatch settings --check
    """
    for variable, default, meaning in documented():
        out.print(f"[bold]{escape(variable)}[/bold]" + (f" = {escape(default)}" if default else ""))
        out.print(Padding(escape(meaning), (0, 0, 0, 4)))
    for variable, near in unknown_variables().items():
        out.print(f"{variable} is set but means nothing" + (f"; is {near} meant?" if near else ""))
    if check:
        with explained(SettingsInvalid):
            load_settings()
        out.print("the environment makes valid settings")
