"""`duewatch policy`: check a policy file before it is published."""

from pathlib import Path
from typing import Annotated

import typer

from app.console import explained, out

commands = typer.Typer(no_args_is_help=True, help="Check a policy file.")


@commands.callback()
def policy() -> None:
    """Keep `check` a command of its own, also while it is the only one."""


@commands.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The policy; the shipped default if not given.", show_default=False)
    ] = None,
) -> None:
    """Say everything that is wrong with a policy, each problem with its place; exit code 1 where something is.

    Example: duewatch policy check my-policy.yaml
    """
    from app.core import load_policy
    from policy.policy import PolicyError

    with explained(PolicyError, OSError):
        loaded = load_policy(file)
    out.print(f"{loaded.version} is a valid policy", markup=False)
