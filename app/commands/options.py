"""Options that several commands share. What is not given comes from the environment (`duewatch settings`)."""

from pathlib import Path
from typing import Annotated

import typer

Kafka = Annotated[str | None, typer.Option("--kafka", help="Kafka brokers, host:port.", show_default=False)]
Redis = Annotated[str | None, typer.Option("--redis", help="Redis URL.", show_default=False)]
Partitions = Annotated[int | None, typer.Option(min=1, help="Partitions of the user-keyed topics.", show_default=False)]
Files = Annotated[
    list[Path],
    typer.Argument(help=".jsonl, .csv or .parquet, each also with .gz; a row is one event.", show_default=False),
]
Currency = Annotated[str | None, typer.Option(help="Currency of the book, as in ISO 4217.", show_default=False)]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy file; the shipped default if not given.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of text for people.")]
