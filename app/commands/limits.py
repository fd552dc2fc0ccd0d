"""`duewatch limits`: the limits that checkout systems read."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from app.commands import options
from app.console import explained, out
from app.settings import Settings, SettingsInvalid, load_settings

commands = typer.Typer(no_args_is_help=True, help="The limits that checkout systems read under limit:<user>.")
#: Adjustments written to the store at once.
AT_ONCE = 1_000


@commands.callback()
def limits() -> None:
    """Keep `rebuild` a command of its own, also while it is the only one."""


@commands.command()
def rebuild(
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    user: Annotated[str | None, typer.Option(help="The limit of this user only.", show_default=False)] = None,
) -> None:
    """Write limit:<user> anew from the published limit adjustments.

    A worker writes a limit after it has published the adjustment, and writes what its predecessor may have left, so
    this is needed only where Redis lost limits and not the partition that they belong to: a node of a Redis Cluster
    that came back older, or keys that somebody deleted. The greater version wins, so it may run at any time, also
    beside workers. Adjustments older than the topic's retention (90 days) are not found.

    Example: duewatch limits rebuild
    """
    from app.kafka import KafkaUnavailable
    from store.contract import StoreUnavailable

    with explained(SettingsInvalid, KafkaUnavailable, StoreUnavailable):
        settings = load_settings(kafka_bootstrap=kafka, redis_url=redis)
        adjustments, users = asyncio.run(_rebuild(settings, user))
        out.print(f"{adjustments:,} adjustments read; the limits of {users:,} users are in Redis", highlight=False)


async def _rebuild(settings: Settings, user: str | None) -> tuple[int, int]:
    """How many adjustments were read, and of how many users."""
    from app.kafka import read_topics
    from messages.message import Message
    from store.contract import LimitView
    from store.projection import LIMIT_ADJUSTMENTS, limit_views
    from store.redis import RedisStore

    store, read, users, waiting = RedisStore(settings.redis_address()), 0, set[str](), list[LimitView]()
    try:
        topics = read_topics(settings, [LIMIT_ADJUSTMENTS], from_start=True, follow=False)
        async with aclosing(topics) as records:
            async for record in records:
                if user is None or record.key == user.encode():
                    read += 1
                    waiting += limit_views([Message(record.topic, record.key, record.value)])
                if len(waiting) >= AT_ONCE:
                    await store.project_limits(waiting)
                    users.update(view.user for view in waiting)
                    waiting = []
        await store.project_limits(waiting)
        users.update(view.user for view in waiting)
    finally:
        await store.close()
    return read, len(users)
