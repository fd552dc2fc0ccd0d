"""What the commands print with, and how they end when something expected goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(text: str) -> NoReturn:
    """End the command with a message on standard error and exit code 1."""
    err.print("error:", text, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


@contextmanager
def explained(*expected: type[Exception]) -> Iterator[None]:
    """Turn exceptions that carry their own explanation into a message instead of a traceback."""
    try:
        yield
    except expected as error:
        fail(str(error))
