"""`duewatch inspect`: everything known about one user, and why."""

import asyncio
import dataclasses
import json
from typing import Annotated, Any

import typer
from rich.table import Table

from app.commands import options
from app.console import err, explained, out
from app.lines import COLOURS, moment, money
from app.settings import SettingsInvalid, load_settings


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("inspect")(inspect)


def inspect(
    user: Annotated[str, typer.Argument(help="The user's id, as in the events.")],
    redis: options.Redis = None,
    kafka: options.Kafka = None,
    partitions: options.Partitions = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a user's score with its reasons, limit, open warnings, ledger and features, as the store has them.

    Examples:
    * duewatch inspect taiwan-24

    * duewatch inspect taiwan-24 --json | jq .features.days_past_due
    """
    from app.inspection import UnknownUser, in_force_now, inspect_user
    from policy.policy import PolicyError
    from store.contract import CorruptState, StoreUnavailable
    from store.redis import RedisStore

    async def run() -> tuple[Any, str]:
        store = RedisStore(settings.redis_address())
        try:
            in_force, note = await in_force_now(settings)
            return await inspect_user(store, settings, user, in_force), note
        finally:
            await store.close()

    with explained(SettingsInvalid, PolicyError, UnknownUser, StoreUnavailable, CorruptState):
        settings = load_settings(redis_url=redis, kafka_bootstrap=kafka, partitions=partitions)
        found, note = asyncio.run(run())
    if as_json:
        out.print(json.dumps(dataclasses.asdict(found)), markup=False, soft_wrap=True)
    else:
        _show(found)
    if note:
        err.print(note, markup=False)


def _show(found: Any) -> None:
    warming = ", untrained: the scorecard decides" if found.warming else ""
    out.print(f"[bold]{found.user}[/] as of {moment(found.as_of)} UTC, {found.events:,} events")
    out.print(f"default probability {found.default_probability:.1%} (model {found.model}{warming})")
    out.print(
        f"spending anomaly {found.spending_anomaly:.2f}, grade {found.grade or 'none yet'}, policy {found.policy}"
    )
    for reason in found.score_reasons:
        direction = "raises" if reason["log_odds"] > 0 else "lowers"
        out.print(
            f"  {reason['feature']} = {reason['value']:,.4g} {direction} it by {abs(reason['log_odds']):.2f} log-odds"
        )
    state = "frozen" if found.limit["frozen"] else "closed" if found.limit["closed"] else "open"
    out.print(f"limit {money(found.limit['limit'])} ({state}), at the start {money(found.limit['starting_limit'])}")
    ledger = found.ledger
    late = f"{ledger['days_past_due']} days past due"
    out.print(f"owed {money(ledger['owed'])}, overdue {money(ledger['overdue_amount'])}, {late}")
    for warning in found.open_warnings:
        colour = COLOURS[warning["severity"]]
        out.print(f"[{colour}]{warning['severity']}[/] {warning['trigger']} open since {moment(warning['since'])}")
    out.print(_bills(ledger["bills"]))
    out.print(_features(found.features))


def _bills(bills: list[dict[str, Any]]) -> Table:
    table = Table("issued", "due", "amount", "minimum", "paid", title="bills", title_justify="left")
    for bill in bills:
        times = (moment(bill[name]) if bill[name] else "unknown" for name in ("issued", "due"))
        table.add_row(*times, *(money(bill[name]) for name in ("amount", "minimum", "paid")))
    return table


def _features(values: dict[str, float]) -> Table:
    table = Table("feature", "value", "feature", "value", title="features", title_justify="left")
    names = list(values)
    half = (len(names) + 1) // 2
    for left, right in zip(names[:half], [*names[half:], ""][:half], strict=True):
        table.add_row(left, f"{values[left]:,.6g}", right, f"{values[right]:,.6g}" if right else "")
    return table
