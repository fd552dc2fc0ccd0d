"""`duewatch position`: where the workers go on, and setting that by hand."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app.commands import options
from app.console import err, explained, fail, out
from app.lines import moment
from app.settings import Settings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from app.positions import Move, PartitionState, Placed

commands = typer.Typer(no_args_is_help=True, help="Show or set the positions from which workers go on.")

Numbers = Annotated[
    list[int] | None, typer.Option("--partition", help="Only this one; may be repeated.", show_default=False)
]


@commands.command()
def show(
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    partitions: options.Partitions = None,
    partition: Numbers = None,
    as_json: options.AsJson = False,
) -> None:
    """Show by partition and topic where work goes on, how much waits, and what a worker would refuse.

    Nothing is changed and no worker is disturbed. Exit code 1 where a worker would refuse a position.

    Examples:
    * duewatch position show

    * duewatch position show --partition 3 --json | jq '.[].topics[] | select(.lag > 0)'
    """
    from app.positions import read_states

    async def run(settings: Settings) -> "list[PartitionState]":
        from store.redis import RedisStore

        store = RedisStore(settings.redis_address())
        try:
            return await read_states(store, settings, partition or ())
        finally:
            await store.close()

    with explained(*_expected()):
        states = asyncio.run(run(load_settings(kafka_bootstrap=kafka, redis_url=redis, partitions=partitions)))
    if as_json:
        out.print(json.dumps([_as_json(state) for state in states]), markup=False, soft_wrap=True)
    else:
        _show(states)
    if any(place.lag is None for state in states for place in state.places):
        fail("a worker refuses these positions; `duewatch position reset --help` says what can be done")


@commands.command()
def reset(
    topic: Annotated[list[str], typer.Option(help="Topic whose position moves; may be repeated.", show_default=False)],
    to: Annotated[str, typer.Option(help="earliest, latest, stored, an offset, or a time (UTC).", show_default=False)],
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    partitions: options.Partitions = None,
    partition: Numbers = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also while workers run.")] = False,
) -> None:
    """Move positions by hand, after a worker has refused them: a topic was recreated, or has lost its tail.

    `--to stored` keeps the offset and takes the topic as it is now for the one that it counts in: for a topic that was
    restored with its old offsets. Records, timers and what is still to be published stay as they are. The reset is a
    commit, so that a worker which owned the partition before can commit no more.

    Examples:
    * duewatch position reset --topic purchases --to earliest --dry-run

    * duewatch position reset --topic purchases --partition 3 --to 2026-01-31T08:00 --yes
    """
    from messages.inputs import USER_TOPICS

    strange = [name for name in topic if name not in USER_TOPICS]
    if strange:
        fail(f"{strange[0]} has no positions; those that have: {', '.join(USER_TOPICS)}")
    with explained(*_expected()):
        settings = load_settings(kafka_bootstrap=kafka, redis_url=redis, partitions=partitions)
        moves, running = asyncio.run(_planned(settings, topic, partition or (), to))
        _show_moves(moves)
        if not any(move.changes for move in moves):
            out.print("nothing would change")
            return
        if dry_run:
            return
        if running and not force:
            fail(f"{running}: stop the workers first, or say --force")
        if not yes:
            typer.confirm("Move these positions?", abort=True, err=True)
        _report(asyncio.run(_moved(settings, moves)))


async def _planned(settings: Settings, topics: list[str], partitions: Any, to: str) -> "tuple[list[Move], str]":
    """The moves, and why it cannot be said that no worker runs ("" where it can)."""
    from app.broker import group_state
    from app.kafka import KafkaUnavailable
    from app.positions import plan, read_states
    from store.redis import RedisStore

    store = RedisStore(settings.redis_address())
    try:
        moves = await plan(settings, await read_states(store, settings, partitions, topics), to)
    finally:
        await store.close()
    try:
        group = await group_state(settings)
    except KafkaUnavailable as error:
        return moves, f"whether workers run cannot be told: {error}"
    return moves, f"group {settings.group} has {len(group.members)} live members" if group.members else ""


async def _moved(settings: Settings, moves: "list[Move]") -> Any:
    from app.positions import apply_moves
    from store.redis import RedisStore

    store = RedisStore(settings.redis_address())
    try:
        return await apply_moves(store, moves)
    finally:
        await store.close()


def _report(result: Any) -> None:
    if result.moved:
        out.print(f"moved in partition {', '.join(map(str, result.moved))}")
    for number, reason in result.failed.items():
        err.print(f"partition {number}: not moved: {reason}", markup=False)
    if result.failed:
        fail(f"{len(result.failed)} partitions were not moved; look again with `duewatch position show`")


def _show(states: "list[PartitionState]") -> None:
    table = Table("partition", "topic", "next", "first", "end", "lag", "state")
    for state in states:
        for place in state.places:
            colour = "green" if place.lag is not None else "red"
            table.add_row(*_cells(place), f"[{colour}]{place.verdict}[/]")
    out.print(table)
    parts = Table("partition", "watermark (UTC)", "commits", "outbox", "policy", "market", "model")
    for state in states:
        header = state.header
        watermark = moment(header.watermark * 1000) if header.watermark else "none yet"
        counts = (f"{header.commits:,}", f"{state.outbox:,}")
        parts.add_row(str(state.partition), watermark, *counts, header.policy, header.market, header.model)
    out.print(parts)


def _cells(place: "Placed") -> tuple[str, ...]:
    stored = "none" if place.stored is None else str(place.stored.next_offset)
    lag = "?" if place.lag is None else f"{place.lag:,}"
    return str(place.partition), place.topic, stored, str(place.bounds.first), str(place.bounds.end), lag


def _show_moves(moves: "list[Move]") -> None:
    from app.positions import consequences

    table = Table("partition", "topic", "next", "first", "end", "lag", "state", "becomes")
    for move in moves:
        becomes = str(move.after.next_offset) if move.changes else "unchanged"
        table.add_row(*_cells(move.before), move.before.verdict, becomes)
    out.print(table)
    for sentence in consequences(moves):
        out.print(sentence, style="yellow")


def _as_json(state: "PartitionState") -> dict[str, Any]:
    header = state.header
    return {
        "partition": state.partition,
        "watermark": header.watermark * 1000,
        "clock": header.clock,
        "commits": header.commits,
        "outbox": state.outbox,
        "policy": header.policy,
        "market": header.market,
        "model": header.model,
        "topics": [
            {
                "topic": place.topic,
                "next_offset": None if place.stored is None else place.stored.next_offset,
                "epoch": None if place.stored is None else place.stored.epoch,
                "topic_epoch": place.epoch,
                "first": place.bounds.first,
                "end": place.bounds.end,
                "lag": place.lag,
                "state": place.verdict,
            }
            for place in state.places
        ],
    }


def _expected() -> tuple[type[Exception], ...]:
    from app.kafka import KafkaUnavailable
    from app.positions import ResetRefused
    from store.contract import CorruptState, StoreUnavailable

    return SettingsInvalid, KafkaUnavailable, ResetRefused, StoreUnavailable, CorruptState
