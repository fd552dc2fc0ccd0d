"""Structured logs. A user id never appears in them: it is replaced by a keyed pseudonym."""

import hashlib
import logging
import secrets
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

import structlog

#: Event fields that hold the id of a user, alone or in a list.
USER_FIELDS = ("user", "user_id", "users")
#: Parts of the names of event fields that are never written out.
SECRET_FIELDS = ("password", "secret", "hmac", "token", "credential")
HIDDEN = "***"

EventDict = MutableMapping[str, Any]


def pseudonym(user: str, key: bytes) -> str:
    """First 12 hex digits of the keyed BLAKE2b of a user id: the same for the same key, not to be turned back."""
    return hashlib.blake2b(user.encode(), key=hashlib.blake2b(key).digest()).hexdigest()[:12]


def configure(*, style: Literal["json", "console"], level: str, key: bytes | None = None) -> None:
    """Send all logs, ours and those of libraries, to standard error as JSON lines or in colours.

    Args:
        style: "json" for machines, "console" for people.
        level: least severity that is written: "debug", "info", "warning" or "error".
        key: makes pseudonyms of user ids; None takes a random one, so that they can be linked within a process only.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_whom_it_is_about,
        hide_people_and_secrets(key or secrets.token_bytes(32)),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, renderer])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def name_whom_it_is_about(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that adds the `user` whom a logged exception is about; its text does not name anybody."""
    raised = event.get("exc_info")
    error = raised[1] if isinstance(raised, tuple) else raised
    user = getattr(error, "user", "") if isinstance(error, BaseException) else ""
    if user:
        event.setdefault("user", user)
    return event


def hide_people_and_secrets(key: bytes) -> Callable[[Any, str, EventDict], EventDict]:
    """A structlog processor that replaces user ids by pseudonyms and the values of secrets by `***`."""

    def hide(_logger: Any, _method: str, event: EventDict) -> EventDict:
        for name, value in event.items():
            if any(part in name.lower() for part in SECRET_FIELDS):
                event[name] = HIDDEN
            elif name in USER_FIELDS and isinstance(value, str):
                event[name] = pseudonym(value, key)
            elif name in USER_FIELDS and isinstance(value, list | tuple | set | frozenset):
                event[name] = [pseudonym(str(user), key) for user in value]
        return event

    return hide
