"""`duewatch topics`: create the topics, or check that they are as they must be."""

import asyncio
from typing import Annotated

import typer

from app.commands import options
from app.console import explained, fail, out
from app.settings import SettingsInvalid, load_settings

commands = typer.Typer(no_args_is_help=True, help="Create or check the Kafka topics.")


@commands.command()
def create(
    kafka: options.Kafka = None,
    partitions: options.Partitions = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Replicas; 3 in production.", show_default=False)
    ] = None,
) -> None:
    """Create the topics that are missing. What exists is left as it is.

    Example: duewatch topics create --kafka kafka:9092 --partitions 16 --replication 3
    """
    from app.kafka import KafkaUnavailable, create_topics

    with explained(SettingsInvalid, KafkaUnavailable):
        settings = load_settings(kafka_bootstrap=kafka, partitions=partitions, replication=replication)
        created = asyncio.run(create_topics(settings))
    out.print(f"created {len(created.made)} topics, {len(created.existed)} were there already")


@commands.command()
def check(kafka: options.Kafka = None, partitions: options.Partitions = None) -> None:
    """Say what is wrong with the topics; exit code 1 where something is.

    Example: duewatch topics check
    """
    from app.kafka import KafkaUnavailable, check_topics

    with explained(SettingsInvalid, KafkaUnavailable):
        problems = asyncio.run(check_topics(load_settings(kafka_bootstrap=kafka, partitions=partitions)))
    if problems:
        fail("\n".join(problems))
    out.print("all topics are there, with the right number of partitions")
