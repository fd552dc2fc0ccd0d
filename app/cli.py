"""The command line. Each command lives in a module of `app.commands` and imports what it needs when it runs."""

import typer

from app.commands import (
    contracts,
    dead_letters,
    demo,
    doctor,
    inspect,
    limits,
    outbox,
    policy,
    position,
    repartition,
    replay,
    sample,
    send,
    settings,
    tail,
    topics,
    worker,
)

EPILOG = """[bold]Start here[/bold]

  duewatch demo                                     everything, on this machine, in two minutes

  duewatch replay events.jsonl --scores scores.csv  score a file, without Kafka and Redis

  duewatch COMMAND --help                           what a command does, with examples
"""

application = typer.Typer(
    name="duewatch",
    help="Real-time credit-risk monitor: early warnings and live credit limits from a stream of account events.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (demo, worker, send, tail, inspect, replay, sample, settings, doctor, repartition):
    module.register(application)
application.add_typer(topics.commands, name="topics")
application.add_typer(policy.commands, name="policy")
application.add_typer(contracts.commands, name="contracts")
application.add_typer(position.commands, name="position")
application.add_typer(limits.commands, name="limits")
application.add_typer(outbox.commands, name="outbox")
application.add_typer(dead_letters.commands, name="dead-letters")


def run() -> None:
    """Run the command line."""
    application()
