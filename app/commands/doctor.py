"""`duewatch doctor`: what is wrong with a deployment, and how to mend it."""

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.commands import options
from app.console import err, explained, out
from app.settings import Settings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from app.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("doctor")(doctor)


def doctor(
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    partitions: options.Partitions = None,
    policy: options.PolicyFile = None,
    broker_clocks: Annotated[
        bool,
        typer.Option("--broker-clocks", help="Measure the brokers' clocks, by a topic that is made and deleted again."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Connect to everything, say what is wrong and how to mend it. Run it where the workers run, with their settings.

    Nothing is changed and workers are not disturbed. Exit code 1 where anything is a failure.

    Examples:
    * duewatch doctor

    * duewatch doctor --json | jq '.[] | select(.status != "ok")'
    """
    with explained(SettingsInvalid):
        settings = load_settings(kafka_bootstrap=kafka, redis_url=redis, partitions=partitions, policy_file=policy)
    with err.status("examining"):
        findings = asyncio.run(_examine(settings, measure_clocks=broker_clocks))
    if as_json:
        out.print(json.dumps([dataclasses.asdict(finding) for finding in findings]), markup=False, soft_wrap=True)
    else:
        _show(findings)
    if any(finding.status == "failure" for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings, *, measure_clocks: bool) -> "list[Finding]":
    from app.doctor import examine
    from store.redis import RedisStore

    store = RedisStore(settings.redis_address())
    try:
        return [finding async for finding in examine(settings, store, measure_clocks=measure_clocks)]
    finally:
        await store.close()


def _show(findings: "list[Finding]") -> None:
    table = Table("of", "check", "", "found, and how to mend it")
    for finding in findings:
        text = escape(finding.found) + (f"\n[dim]→[/] {escape(finding.hint)}" if finding.hint else "")
        colour = COLOURS.get(finding.status, "dim")
        table.add_row(escape(finding.subject), escape(finding.check), f"[{colour}]{finding.status}[/]", text)
    out.print(table)
    counts = {status: sum(finding.status == status for finding in findings) for status in ("failure", "warning")}
    out.print(f"{counts['failure']} failures, {counts['warning']} warnings")
