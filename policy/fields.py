"""The kinds of value that a policy document is made of, each with its own check and message."""

import re
import string
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from features.catalogue import INDEX
from messages.outputs import GRADES
from messages.vocabulary import FUND_STATUSES, Kind
from policy.expressions import Condition, Formula, condition, formula, suggest

#: Words for numbers in expressions: event kinds (`PURCHASE`), fund states (`FUND_NORMAL`), grades (`GRADE_A`).
CONSTANTS: dict[str, float] = {
    **{kind.name: float(kind) for kind in Kind},
    **{f"FUND_{status.upper()}": float(code) for code, status in enumerate(FUND_STATUSES)},
    **{f"GRADE_{grade}": float(code) for code, grade in enumerate(GRADES, start=1)},
}

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(-?\d{1,7})(s|m|h|d)")


def _duration(value: Any) -> int:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a duration as in 30m, 12h or 7d, found {value!r}")
    return int(match[1]) * _SECONDS[match[2]]


def _text_of(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected an expression, found {value!r}")
    return str(value)


def _condition(value: Any) -> Condition:
    return condition(_text_of(value), INDEX, CONSTANTS)


def _formula(value: Any) -> Formula:
    return formula(_text_of(value), INDEX, CONSTANTS)


def _feature(value: Any) -> str:
    if not isinstance(value, str) or value not in INDEX:
        raise ValueError(f"unknown feature `{value}`{suggest(str(value), [*INDEX])}")
    return value


def _template(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a text, found {value!r}")
    try:
        parts = list(string.Formatter().parse(value))
    except ValueError as error:
        raise ValueError(f"a placeholder cannot be read: {error}") from None
    for _, name, style, conversion in parts:
        if name is not None:
            _feature(name)
            if style or conversion:
                raise ValueError(
                    f"placeholder `{{{name}}}` takes no format: the feature's unit decides how it is shown"
                )
    return value


Duration = Annotated[int, BeforeValidator(_duration)]
#: A duration that is not negative.
Span = Annotated[Duration, Field(ge=0, le=3650 * 86_400)]
_as_text = PlainSerializer(lambda expression: expression.text, return_type=str)
When = Annotated[Condition, BeforeValidator(_condition), _as_text]
Number = Annotated[Formula, BeforeValidator(_formula), _as_text]
FeatureName = Annotated[str, BeforeValidator(_feature)]
Template = Annotated[str, BeforeValidator(_template), Field(max_length=500)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
