"""Reasons in words: templates filled with feature values as people read them, and the evidence behind."""

import string
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import isfinite
from typing import Any

from features.catalogue import FEATURES, INDEX
from policy.document import Words

#: Digits after the point that are published: enough for any threshold, and the same bytes on every machine.
DIGITS = 6
_UNITS = {feature.name: feature.unit for feature in FEATURES}
_PERCENT = {"share", "probability"}
_LARGEST_WRITTEN = 1e15

Draft = dict[str, Any]


def reason(
    code: str,
    words: Words,
    row: Sequence[float],
    evidence: Iterable[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Draft:
    """One reason as its contract has it, from a row of the feature matrix."""
    return {
        "code": code,
        "en": fill(words.en, row),
        "zh": fill(words.zh, row),
        "evidence": [
            {
                "feature": name,
                "value": number(row[INDEX[name]]),
                "unit": _UNITS[name],
                "threshold": None if thresholds is None else thresholds.get(name),
            }
            for name in evidence
        ],
    }


def number(value: float) -> float:
    """A value as it is published; what is no number is never shown as one."""
    return round(float(value), DIGITS) if isfinite(value) else 0.0


def fill(template: str, row: Sequence[float]) -> str:
    """The template with each `{feature}` as people write it: money in major units, shares in per cent."""
    return "".join(text if name is None else text + show(name, row[INDEX[name]]) for text, name in _parts(template))


def show(name: str, value: float) -> str:
    """A feature's value in words."""
    unit = _UNITS[name]
    if not isfinite(value):
        return "?"
    if unit == "minor units":
        return f"{value / 100:,.2f}"
    if unit in _PERCENT:
        return f"{100 * value:.1f}%"
    if value == int(value) and abs(value) < _LARGEST_WRITTEN:
        return f"{int(value)}"
    return f"{value:.2f}"


@cache
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((text, name) for text, name, _, _ in string.Formatter().parse(template))
