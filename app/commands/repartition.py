"""`duewatch repartition`: copy a stopped deployment to another partition count."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from app.commands import options
from app.console import err, explained, fail, out
from app.lines import moment
from app.settings import Settings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from app.repartition import Done


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("repartition")(repartition)


def repartition(
    to: Annotated[int, typer.Option("--to", min=1, max=4096, help="The new partition count.", show_default=False)],
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    partitions: options.Partitions = None,
    target_prefix: Annotated[
        str | None, typer.Option(help="Start of the target's keys; this deployment's if not given.", show_default=False)
    ] = None,
    target_redis: Annotated[
        str | None, typer.Option(help="Redis URL of the target; this deployment's if not given.", show_default=False)
    ] = None,
    target_kafka: Annotated[
        str | None,
        typer.Option(help="Brokers with the new topics; this deployment's if not given.", show_default=False),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="Where to begin in new topics: earliest or latest.")
    ] = "earliest",
    drained: Annotated[
        bool, typer.Option("--drained", help="The old topics are gone, and everything in them had been applied.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Although the group seems to have members.")] = False,
) -> None:
    """Copy every record, timer, limit and unpublished decision to a place with another partition count.

    The partition count is part of where a user's state lies, so it cannot be changed in place. Stop the producers, let
    the workers finish, stop the workers, create the new topics, then run this with the old deployment's settings. The
    old state is only read. A copy that was interrupted goes on when the command is given again; workers refuse it until
    it is complete. docs/runbooks/repartition.md has the whole procedure.

    Example: duewatch repartition --to 16 --target-prefix book16 --target-kafka new-kafka:9092
    """
    from app.kafka import KafkaUnavailable
    from app.repartition import RepartitionRefused
    from store.contract import CorruptState, StaleOwner, StoreUnavailable

    if start not in ("earliest", "latest"):
        fail("--from is earliest or latest")
    expected = (SettingsInvalid, KafkaUnavailable, RepartitionRefused, StoreUnavailable, CorruptState, StaleOwner)
    with explained(*expected):
        source = load_settings(kafka_bootstrap=kafka, redis_url=redis, partitions=partitions)
        target = load_settings(
            kafka_bootstrap=target_kafka or source.kafka_bootstrap,
            redis_url=target_redis or source.redis_url,
            redis_prefix=source.redis_prefix if target_prefix is None else target_prefix,
            partitions=to,
        )
        if (source.redis_url, source.redis_prefix) == (target.redis_url, target.redis_prefix):
            fail("the target is the source: give --target-prefix or --target-redis")
        done = asyncio.run(_copied(source, target, start=start, drained=drained, force=force))
    out.print(f"{done.records:,} records, {done.timers:,} timers, {done.limits:,} limits; checksum {done.checksum}")
    out.print(f"{done.messages:,} messages that may not have been published go with them")
    out.print(f"watermark {moment(done.watermark * 1000)} UTC, the earliest of all partitions")
    out.print("now start workers with:")
    out.print(f"  DUEWATCH_PARTITIONS={to}", f"DUEWATCH_REDIS_PREFIX={target.redis_prefix}", markup=False)
    out.print(f"  DUEWATCH_REDIS_URL={target.redis_url}", f"DUEWATCH_KAFKA_BOOTSTRAP={target.kafka_bootstrap}")


async def _copied(source: Settings, target: Settings, *, start: str, drained: bool, force: bool) -> "Done":
    from app.broker import group_state
    from app.repartition import Place, RepartitionRefused, repartition
    from store.redis import RedisStore

    for settings in {source.kafka_bootstrap: source, target.kafka_bootstrap: target}.values():
        group = await group_state(settings)
        if group.members and not force:
            raise RepartitionRefused(
                f"group {settings.group} has {len(group.members)} live members: stop the workers first, or say --force"
            )
    stores = RedisStore(source.redis_address()), RedisStore(target.redis_address())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} users"))
    try:
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("beginning", total=None)
            return await repartition(
                Place(stores[0], source),
                Place(stores[1], target),
                start=start,
                drained=drained,
                report=lambda stage, users: progress.update(task, description=stage, completed=users),
            )
    finally:
        for store in stores:
            await store.close()
