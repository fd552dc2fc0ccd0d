"""One line for people per message, in the commands that show messages as they come."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape

COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
UP, DOWN = "green", "red"


def line_of(topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> str:
    """The message in Rich's markup; what is not understood is shown as it is."""
    if topic == "dead-letters":
        return _dead_letter(value, {name: text.decode(errors="backslashreplace") for name, text in headers})
    try:
        message = json.loads(value or b"null")
        render = _LINES.get(topic, _anything)
        return render(message)
    except (ValueError, KeyError, TypeError):
        return escape((value or b"").decode(errors="backslashreplace"))


def money(minor_units: int) -> str:
    """An amount in minor units with thousands separated."""
    return f"{minor_units / 100:,.2f}"


def moment(milliseconds: int) -> str:
    """A time in UTC, to the second."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _warning(message: dict[str, Any]) -> str:
    colour = COLOURS.get(message["severity"], "white")
    why = "; ".join(reason["en"] for reason in message["reasons"])
    head = f"{moment(message['time'])} {escape(message['user_id'])}"
    return f"{head} [{colour}]{message['severity']}[/] {message['trigger']} {message['status']}: {escape(why)}"


def _limit_adjustment(message: dict[str, Any]) -> str:
    colour = DOWN if message["direction"] in ("cut", "frozen", "closed", "forgotten") else UP
    why = "; ".join(reason["en"] for reason in message["reasons"])
    head = f"{moment(message['time'])} {escape(message['user_id'])}"
    change = f"{money(message['previous_limit'])} -> {money(message['new_limit'])}"
    return f"{head} limit [{colour}]{message['direction']}[/] {change}: {escape(why)}"


def _dead_letter(value: bytes | None, headers: dict[str, str]) -> str:
    shown = escape((value or b"").decode(errors="backslashreplace")[:120])
    place = f"{headers.get('topic')}/{headers.get('partition')}@{headers.get('offset')}"
    return f"{place} [yellow]{headers.get('error')}[/] {escape(headers.get('message', ''))} | {shown}"


def _anything(message: Any) -> str:
    return escape(json.dumps(message, ensure_ascii=False))


_LINES: dict[str, Callable[[Any], str]] = {"warnings": _warning, "limit-adjustments": _limit_adjustment}
