"""Reasons in words: templates filled with feature values as people read them, and the evidence behind."""

import string
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    row: NDArray[np.float64],
    evidence: Iterable[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Draft:
    """One reason as its contract has it, from a feature row f8[WIDTH]."""
    return {
        "code": code,
        "en": fill(words.en, row),
        "zh": fill(words.zh, row),
        "evidence": [
            {
                "feature": name,
                "value": number(row[INDEX[name]]),
                "unit": _UNITS[name],
                "threshold": (thresholds or {}).get(name),
            }
            for name in evidence
        ],
    }


def number(value: float) -> float:
    """A value as it is published."""
    return round(float(value), DIGITS)


def fill(template: str, row: NDArray[np.float64]) -> str:
    """The template with each `{feature}` as people write it: money in major units, shares in per cent."""
    return "".join(text if name is None else text + show(name, row[INDEX[name]]) for text, name in _parts(template))


def show(name: str, value: float) -> str:
    """A feature's value in words."""
    value, unit = float(value), _UNITS[name]
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
