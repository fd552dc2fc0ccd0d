"""Pydantic's verdict on one record, and why a record is refused in words that name the field and the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, core_schema

from messages.columns import Source

#: A longer record is refused unread. The longest event that the contracts allow is about 2 kB.
LARGEST_RECORD = 64 * 1024
_ERRORS_SHOWN, _INPUT_SHOWN, _KEY_SHOWN = 5, 60, 60
#: Messages go into headers and logs, so they never quote who the user is.
_PERSONAL = "user_id"


class Refused(StrEnum):
    """Classes of refusal, in the order in which they are looked for."""

    TOMBSTONE = "tombstone"
    TOO_LARGE = "too-large"
    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    CONTRACT = "contract"
    KEY_MISMATCH = "key-mismatch"
    TOO_FAR_AHEAD = "too-far-ahead"
    CURRENCY_WITHOUT_RATE = "currency-without-rate"
    AMOUNT_TOO_LARGE = "amount-too-large"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no acceptable event: where it was, its own bytes, and why (`error` is a value of `Refused`)."""

    source: Source
    offset: int
    key: bytes | None
    value: bytes | None
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one value is refused."""

    error: Refused
    message: str


class Judge:
    """Pydantic's judgement by the contracts of one topic, told apart by the field `type`, which must be there."""

    def __init__(self, models: Sequence[type[BaseModel]], largest: int = LARGEST_RECORD) -> None:
        self._largest = largest
        choices: dict[Any, Any] = {
            model.model_fields["type"].default: model.__pydantic_core_schema__ for model in models
        }
        self._validator = SchemaValidator(core_schema.tagged_union_schema(choices, discriminator="type"))
        self._tags = frozenset(choices)

    def judge(self, value: bytes | None) -> BaseModel | Fault:
        """The event in `value`, or why there is none."""
        if value is None:
            return Fault(Refused.TOMBSTONE, "value: is null; events are never deleted by tombstones")
        if len(value) > self._largest:
            return Fault(Refused.TOO_LARGE, f"value: has {len(value)} bytes, at most {self._largest} are allowed")
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return Fault(Refused.NOT_UTF8, f"value: byte {error.start} is not UTF-8 ({error.reason})")
        try:
            event: BaseModel = self._validator.validate_json(value)
        except ValidationError as error:
            return self._fault(error)
        return event

    def _fault(self, error: ValidationError) -> Fault:
        details = error.errors(include_url=False, include_context=False)
        if details[0]["type"] == "json_invalid":
            return Fault(Refused.NOT_JSON, f"value: {details[0]['msg']}")
        reasons = []
        for detail in details[:_ERRORS_SHOWN]:
            path = detail["loc"][1:] if detail["loc"] and detail["loc"][0] in self._tags else detail["loc"]
            field = ".".join(map(str, path)) or "event"
            text = detail["msg"].removeprefix("Value error, ")
            given = "" if detail["type"] in _WITHOUT_INPUT else f" (got {_given(field, detail)})"
            reasons.append(f"{field}: {text}{given}")
        if len(details) > _ERRORS_SHOWN:
            reasons.append(f"and {len(details) - _ERRORS_SHOWN} more")
        return Fault(Refused.CONTRACT, "; ".join(reasons))


def key_fault(key: bytes | None, field: str, expected: str) -> Fault:
    """The fault of a record whose key is not `expected`, the value of the event's `field`.

    Neither is quoted where the field says who the user is.
    """
    if not key:
        found = "is missing" if key is None else "is empty"
    elif field == _PERSONAL:
        found = f"of {len(key)} bytes is another"
    elif len(key) <= _KEY_SHOWN:
        found = f"is {key!r}"
    else:
        found = f"is {key[:_KEY_SHOWN]!r}... of {len(key)} bytes"
    wanted = f"must be the {field}" if field == _PERSONAL else f"{field} is {expected!r}"
    return Fault(Refused.KEY_MISMATCH, f"key: {found}, but {wanted}")


#: For these the input is the whole event, which the dead letter carries anyway, or the text says it already.
_WITHOUT_INPUT = frozenset({"missing", "value_error", "union_tag_invalid", "union_tag_not_found"})


def _given(field: str, detail: Any) -> str:
    """What to tell of an unacceptable value: of one that may be a user's id (also under a wrong name) its kind only."""
    value = detail["input"]
    if field != _PERSONAL and detail["type"] != "extra_forbidden":
        return _shown(value)
    length = f" of {len(value)} characters" if isinstance(value, str) else ""
    return f"{type(value).__name__}{length}"


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _INPUT_SHOWN else f"{text[:_INPUT_SHOWN]}... of {len(text)} characters"
