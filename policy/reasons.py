"""Reasons in words: templates filled with feature values as people read them, and the evidence behind."""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

from features.catalogue import FEATURES, INDEX
from policy.document import Words

#: Digits after the point that are published: enough for any threshold, and the same bytes on every machine.
DIGITS = 6
_UNITS = {feature.name: feature.unit for feature in FEATURES}
_PERCENT = {"share", "probability"}
_LARGEST_WRITTEN = 1e15

Draft = dict[str, Any]


class _Phrase(NamedTuple):
    """Words ready to be filled: templates of `%`, and what fills them as (feature, column, how it is shown)."""

    en: str
    zh: str
    features: tuple[tuple[str, int, Callable[[float], str]], ...]


def reason(
    code: str,
    words: Words,
    row: Sequence[float],
    evidence: Iterable[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Draft:
    """One reason as its contract has it, from a row of the feature matrix.

    The words are filled with values as people write them: money in major units, shares in per cent.
    """
    phrase = _phrase(words.en, words.zh)
    shown = {name: show(row[column]) for name, column, show in phrase.features}
    return {
        "code": code,
        "en": phrase.en % shown,
        "zh": phrase.zh % shown,
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


@cache
def _phrase(en: str, zh: str) -> _Phrase:
    names = dict.fromkeys(name for template in (en, zh) for _, name, _, _ in string.Formatter().parse(template) if name)
    return _Phrase(
        _percent_template(en),
        _percent_template(zh),
        tuple((name, INDEX[name], _shown_as(_UNITS[name])) for name in names),
    )


def _percent_template(template: str) -> str:
    """The template for the `%` operator: filling it is one call, whatever stands in it."""
    parts = string.Formatter().parse(template)
    return "".join(text.replace("%", "%%") + (f"%({name})s" if name else "") for text, name, _, _ in parts)


def _shown_as(unit: str) -> Callable[[float], str]:
    if unit == "minor units":
        return _money
    return _per_cent if unit in _PERCENT else _plain


def _money(value: float) -> str:
    return f"{value / 100:,.2f}" if isfinite(value) else "?"


def _per_cent(value: float) -> str:
    return f"{100 * value:.1f}%" if isfinite(value) else "?"


def _plain(value: float) -> str:
    if not isfinite(value):
        return "?"
    return f"{int(value)}" if value == int(value) and abs(value) < _LARGEST_WRITTEN else f"{value:.2f}"
