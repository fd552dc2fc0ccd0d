"""`duewatch tail`: follow a topic."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from app.commands import options
from app.console import explained, out
from app.settings import SettingsInvalid, load_settings


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("tail")(tail)


def tail(
    topic: Annotated[str, typer.Argument(help="warnings, limit-adjustments, score-changes, dead-letters, ...")],
    kafka: options.Kafka = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest message.")] = False,
    follow: Annotated[bool, typer.Option(help="Wait for more; else end with what is there.")] = True,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option(help="Messages of this user only.", show_default=False)] = None,
    as_json: options.AsJson = False,
) -> None:
    """Print the messages of a topic as they come. Ctrl-C ends it.

    Examples:
    * duewatch tail warnings

    * duewatch tail limit-adjustments --from-start --no-follow --json | jq .new_limit
    """
    from app.kafka import KafkaUnavailable

    with explained(SettingsInvalid, KafkaUnavailable):
        settings = load_settings(kafka_bootstrap=kafka)
        key = None if user is None else user.encode()

        async def run() -> None:
            from app.kafka import read_topics
            from app.lines import line_of

            shown = 0
            async with aclosing(read_topics(settings, [topic], from_start=from_start, follow=follow)) as records:
                async for record in records:
                    if key is not None and record.key != key:
                        continue
                    if as_json:
                        text = (record.value or b"null").decode(errors="backslashreplace")
                        out.print(text, markup=False, soft_wrap=True)
                    else:
                        out.print(line_of(topic, record.value, record.headers), soft_wrap=True)
                    shown += 1
                    if shown == count:
                        return

        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
