"""Decisions and dead letters as bytes: the same decision gives the same bytes on every run, machine and version.

JSON is written in the contract's order of fields (`messages.writing`); ids and headers follow from what was decided.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import sha1
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel

from messages.message import Message
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, MODEL_SNAPSHOTS, Decision, ModelSnapshot
from messages.verdict import Refusal
from messages.writing import writer

#: Namespace of all ids; changing it would give every decision a second id.
NAMESPACE = UUID("6d0f7a52-3c1e-5b8e-9a47-d1c2f0e4b6a8")
CE_SOURCE = "/duewatch"
_MESSAGE_BYTES = 1024
#: Room for headers below the usual broker limit of 1 MB; a dead letter that a broker refuses would stop the partition.
LARGEST_LETTER, LARGEST_LETTER_KEY = 768 * 1024, 64 * 1024
_DAY_MS = 86_400_000

Header = tuple[str, bytes]


def encode(topic: str, decision: Mapping[str, Any]) -> Message:
    """The message of a decision (fields as in its contract; those left out take their defaults).

    Keyed by `user_id` (a model snapshot by `name`), with CloudEvents 1.0 attributes as headers. Numbers of numpy are
    taken as what they are. Raises ValueError for an unknown topic, a missing or unknown field, and NaN or infinity.
    """
    contract: type[Decision] | None = DECISION_TOPICS.get(topic)
    if contract is not None:
        value = writer(contract)(decision)
        headers = attributes(contract, decision["id"], int(decision["time"]))
        return Message(topic, decision["user_id"].encode(), value, headers)
    if topic != MODEL_SNAPSHOTS:
        raise ValueError(f"{topic!r} is not a topic of decisions")
    value, name = writer(ModelSnapshot)(decision), decision["name"]
    return Message(topic, name.encode(), value, attributes(ModelSnapshot, f"{name}:{decision['version']}"))


def attributes(contract: type[BaseModel], identity: str, moment: int | None = None) -> tuple[Header, ...]:
    """CloudEvents 1.0 attributes as headers; `moment` in ms, where the message has a time."""
    of_identity = ("ce_id", identity.encode())
    if moment is None:
        return (_VERSION, of_identity, _type_header(contract), _SOURCE, _JSON)
    of_moment = ("ce_time", _rfc3339(moment).encode())
    return (_VERSION, of_identity, _type_header(contract), _SOURCE, of_moment, _JSON)


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
    name = _name_of((kind, rule, *cause))
    digits = sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).hexdigest()
    # As RFC 9562 has it: the version is 5, the two highest bits of the variant's digit are 10.
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


@cache
def ce_type(contract: type[BaseModel]) -> str:
    """CloudEvents type of a contract, as `duewatch.warning.v1`."""
    return f"duewatch.{contract.model_fields['type'].default}.v1"


@cache
def _type_header(contract: type[BaseModel]) -> Header:
    return ("ce_type", ce_type(contract).encode())


def _rfc3339(milliseconds: int) -> str:
    day, of_day = divmod(milliseconds, _DAY_MS)
    seconds, fraction = divmod(of_day, 1000)
    return f"{_date(day)}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:03d}Z"


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def _cut(message: str) -> bytes:
    return message.encode("utf-8", "backslashreplace")[:_MESSAGE_BYTES].decode(errors="ignore").encode()


_name_of = msgspec.json.Encoder().encode  # of words and whole numbers: `["warning","surge","purchases","",3,88210]`
_NAMESPACE_BYTES = NAMESPACE.bytes
_VERSION: Header = ("ce_specversion", b"1.0")
_SOURCE: Header = ("ce_source", CE_SOURCE.encode())
_JSON: Header = ("content-type", b"application/json")
