"""`duewatch contracts`: JSON Schemas and the AsyncAPI document of every topic."""

from pathlib import Path
from typing import Annotated

import typer

from app.console import out

commands = typer.Typer(no_args_is_help=True, help="The contracts that upstream and downstream systems code against.")


@commands.callback()
def contracts() -> None:
    """Keep `export` a command of its own, also while it is the only one."""


@commands.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Where to write them.")] = Path("docs/contracts"),
) -> None:
    """Write the JSON Schema of every event and decision, and one AsyncAPI 3 document.

    Example: duewatch contracts export docs/contracts
    """
    from messages.contracts import export as write

    for path in write(directory):
        out.print(str(path), markup=False)
