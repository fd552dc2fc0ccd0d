"""`duewatch outbox`: what the last commit of a partition left to be published."""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app.commands import options
from app.console import explained, fail, out
from app.settings import Settings, SettingsInvalid, load_settings, reveal

if TYPE_CHECKING:
    from messages.message import Message

commands = typer.Typer(no_args_is_help=True, help="See what commits left to be published.")
#: What `TopicSpec.keyed_by` says of topics whose keys are no people.
IMPERSONAL = ("partition", "region", "name")


@commands.command()
def show(
    redis: options.Redis = None,
    partitions: options.Partitions = None,
    partition: Annotated[
        list[int] | None, typer.Option("--partition", help="Only this one; may be repeated.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per message, with its value: that names users.")
    ] = False,
) -> None:
    """Show the outbox of every partition: the decisions of its last commit.

    They may have been published or not: a worker publishes them after its commit, and the next owner of the partition
    publishes them once more, with the same ids and bytes. The next commit replaces them. Keys are shown as the
    pseudonyms of the logs (DUEWATCH_PSEUDONYM_KEY).

    Examples:
    * duewatch outbox show

    * duewatch outbox show --partition 3 --json | jq 'select(.topic == "warnings")'
    """
    from store.contract import CorruptState, StoreUnavailable

    with explained(SettingsInvalid, StoreUnavailable, CorruptState):
        settings = load_settings(redis_url=redis, partitions=partitions)
        wanted = sorted(set(partition or range(settings.partitions)))
        if wanted[0] < 0 or wanted[-1] >= settings.partitions:
            fail(f"there is no such partition: DUEWATCH_PARTITIONS is {settings.partitions}")
        found = asyncio.run(_read(settings, wanted))
    if as_json:
        for number, messages in found.items():
            for message in messages:
                out.print(json.dumps(_as_json(number, message)), markup=False, soft_wrap=True)
    else:
        _show(found, _hidden_keys(settings))


async def _read(settings: Settings, partitions: list[int]) -> "dict[int, list[Message]]":
    from store.redis import RedisStore

    store = RedisStore(settings.redis_address())
    try:
        return {number: list((await store.partition(number).open()).outbox) for number in partitions}
    finally:
        await store.close()


def _hidden_keys(settings: Settings) -> "Callable[[Message], str]":
    """Shows a message's key: as a pseudonym, unless the topic's keys are no people."""
    from messages.topics import ALL_TOPICS
    from telemetry.logging import pseudonym

    secret = (reveal(settings.pseudonym_key) or secrets.token_hex(16)).encode()
    impersonal = {spec.name for spec in ALL_TOPICS if spec.keyed_by in IMPERSONAL}

    def shown(message: "Message") -> str:
        if message.key is None:
            return "none"
        key = message.key.decode(errors="backslashreplace")
        return key if message.topic in impersonal else pseudonym(key, secret)

    return shown


def _show(found: "dict[int, list[Message]]", key: "Callable[[Message], str]") -> None:
    table = Table("partition", "topic", "key", "id", "type", "bytes")
    for number, messages in found.items():
        for message in messages:
            headers = _headers(message)
            cells = (headers.get("ce_id", ""), headers.get("ce_type", ""), f"{len(message.value):,}")
            table.add_row(str(number), message.topic, key(message), *cells)
    out.print(table)
    count = sum(map(len, found.values()))
    out.print(f"{count:,} messages of the last commits; published already or not, the next owner publishes them again")


def _as_json(partition: int, message: "Message") -> dict[str, Any]:
    return {
        "partition": partition,
        "topic": message.topic,
        "key": None if message.key is None else message.key.decode(errors="backslashreplace"),
        "headers": _headers(message),
        "value": message.value.decode(errors="backslashreplace"),
    }


def _headers(message: "Message") -> dict[str, str]:
    return {name: text.decode(errors="backslashreplace") for name, text in message.headers}
