"""Decisions and dead letters as bytes: the same decision gives the same bytes on every run, machine and version.

JSON is written by the standard library in the contract's order of fields; floats as Python's shortest form that reads
back as the same number.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args, get_origin
from uuid import UUID, uuid5

import numpy as np
from pydantic import BaseModel

from messages.message import Message
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, MODEL_SNAPSHOTS, ModelSnapshot
from messages.verdict import Refusal

#: Namespace of all ids; changing it would give every decision a second id.
NAMESPACE = UUID("6d0f7a52-3c1e-5b8e-9a47-d1c2f0e4b6a8")
CE_SOURCE = "/duewatch"
_MESSAGE_BYTES = 1024
#: Room for headers below the usual broker limit of 1 MB; a dead letter that a broker refuses would stop the partition.
LARGEST_LETTER, LARGEST_LETTER_KEY = 768 * 1024, 64 * 1024

_Shape = Callable[[Any], Any]


def encode(topic: str, decision: Mapping[str, Any]) -> Message:
    """The message of a decision (fields as in its contract; those left out take their defaults).

    Keyed by `user_id` (a model snapshot by `name`), with CloudEvents 1.0 attributes as headers. Numbers of numpy are
    taken as what they are. Raises ValueError for an unknown topic, a missing or unknown field, and NaN or infinity.
    """
    contract = ModelSnapshot if topic == MODEL_SNAPSHOTS else DECISION_TOPICS.get(topic)
    if contract is None:
        raise ValueError(f"{topic!r} is not a topic of decisions")
    fields = _object_shape(contract)(decision)
    value = _JSON.encode(fields).encode()
    if contract is ModelSnapshot:
        key, identity, moment = fields["name"], f"{fields['name']}:{fields['version']}", None
    else:
        key, identity, moment = fields["user_id"], fields["id"], int(fields["time"])
    return Message(topic, key.encode(), value, attributes(contract, identity, moment))


def attributes(contract: type[BaseModel], identity: str, moment: int | None = None) -> tuple[tuple[str, bytes], ...]:
    """CloudEvents 1.0 attributes as headers; `moment` in ms, where the message has a time."""
    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", identity),
        ("ce_type", ce_type(contract)),
        ("ce_source", CE_SOURCE),
        ("content-type", "application/json"),
    ]
    if moment is not None:
        headers.insert(4, ("ce_time", _rfc3339(moment)))
    return tuple((name, text.encode()) for name, text in headers)


def dead_letter(refusal: Refusal) -> Message:
    """The refused record with its own key and value; headers say where it was and why it was refused.

    Headers: `id`, `topic`, `partition`, `offset`, `error` (class) and `message` (at most 1 kB). It depends on nothing
    but the record and its place. A missing value becomes an empty one. A value or key so long that a broker might
    refuse it together with these headers is cut, and `original-bytes` or `original-key-bytes` says how long it was.
    """
    source, value, key = refusal.source, refusal.value or b"", refusal.key
    place = (source.topic, source.epoch, source.partition, refusal.offset)
    headers = [
        ("id", decision_id("dead-letter", refusal.error, *place).encode()),
        ("topic", source.topic.encode()),
        ("partition", str(source.partition).encode()),
        ("offset", str(refusal.offset).encode()),
        ("error", refusal.error.encode()),
        ("message", _cut(refusal.message)),
    ]
    if len(value) > LARGEST_LETTER:
        headers.append(("original-bytes", str(len(value)).encode()))
        value = value[:LARGEST_LETTER]
    if key is not None and len(key) > LARGEST_LETTER_KEY:
        headers.append(("original-key-bytes", str(len(key)).encode()))
        key = key[:LARGEST_LETTER_KEY]
    return Message(DEAD_LETTERS, key, value, tuple(headers))


def decision_id(kind: str, rule: str, *cause: str | int) -> str:
    """UUID (version 5) of what was decided, by which rule, because of what.

    The cause is topic, epoch, partition and offset of an event, or user and time in seconds of a timer.
    """
    return str(uuid5(NAMESPACE, _JSON.encode([kind, rule, *cause])))


@cache
def ce_type(contract: type[BaseModel]) -> str:
    """CloudEvents type of a contract, as `duewatch.warning.v1`."""
    return f"duewatch.{contract.model_fields['type'].default}.v1"


@cache
def _object_shape(contract: type[BaseModel]) -> _Shape:
    required = frozenset(name for name, info in contract.model_fields.items() if info.is_required())
    shapes = {name: _shape(info.annotation) for name, info in contract.model_fields.items()}
    defaults = {name: info.default for name, info in contract.model_fields.items() if not info.is_required()}

    def ordered(given: Mapping[str, Any]) -> dict[str, Any]:
        if not given.keys() <= shapes.keys() or not given.keys() >= required:
            unknown, missing = sorted(given.keys() - shapes.keys()), sorted(required - given.keys())
            raise ValueError(f"{contract.__name__}: unknown fields {unknown}, missing fields {missing}")
        return {name: shape(given[name] if name in given else defaults[name]) for name, shape in shapes.items()}

    return ordered


def _shape(kind: Any) -> _Shape:
    """How a value of this type is written: numbers that the contract calls float are always written as such."""
    if kind is float:
        return lambda value: float(value) + 0.0  # -0.0 becomes 0.0
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _object_shape(kind)
    origin, arguments = get_origin(kind), [argument for argument in get_args(kind) if argument is not type(None)]
    if len(arguments) != len(get_args(kind)):
        inner = _shape(arguments[0])
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _shape(arguments[0])
        return lambda values: [item(value) for value in values]
    if origin is dict:
        item = _shape(arguments[1])
        return lambda values: {name: item(values[name]) for name in sorted(values)}
    return lambda value: value


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _rfc3339(milliseconds: int) -> str:
    seconds = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{seconds.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def _cut(message: str) -> bytes:
    return message.encode("utf-8", "backslashreplace")[:_MESSAGE_BYTES].decode(errors="ignore").encode()


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
