"""`duewatch sample`: turn the public Taiwan credit-card data into contract events."""

from pathlib import Path
from typing import Annotated

import typer

from app.console import explained, out


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("sample")(sample)


def sample(
    file: Annotated[Path, typer.Argument(help='The UCI data set "Default of Credit Card Clients" as .csv or .csv.gz.')],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write: .jsonl, .jsonl.gz or .parquet.")],
    seed: Annotated[
        int, typer.Option(help="Draws what the data lacks: dates, merchants, incomes, provident funds.")
    ] = 2005,
) -> None:
    """Turn the Taiwan credit-card clients into contract events.

    Limits, statements, payments and lateness are from the data; how a month's spending splits into purchases, incomes
    and provident-fund accounts are synthetic.

    Example: duewatch sample taiwan_credit_cards.csv.gz taiwan.jsonl.gz
    """
    from samples.taiwan import NotThisDataSet, write
    from samples.writing import UnknownFormat

    with explained(NotThisDataSet, UnknownFormat, OSError):
        count = write(file, output, seed=seed)
    out.print(f"{count:,} events written to {output}", markup=False)
