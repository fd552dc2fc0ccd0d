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


class _Evidence(NamedTuple):
    feature: str
    column: int
    unit: str
    threshold: float | None


class Statement(NamedTuple):
    """A reason made ready to be stated of any row: templates of `%`, what fills them, and the evidence."""

    code: str
    en: str
    zh: str
    shown: tuple[tuple[str, int, Callable[[float], str]], ...]  # feature, column, how it is shown
    evidence: tuple[_Evidence, ...]

    def of(self, row: Sequence[float]) -> Draft:
        """The reason as its contract has it, for a row of the feature matrix.

        Values are shown as people write them: money in major units, shares in per cent.
        """
        words = {name: show(row[column]) for name, column, show in self.shown}
        return {
            "code": self.code,
            "en": self.en % words,
            "zh": self.zh % words,
            "evidence": [
                {"feature": name, "value": number(row[column]), "unit": unit, "threshold": threshold}
                for name, column, unit, threshold in self.evidence
            ],
        }


def statement(
    code: str, words: Words, evidence: Iterable[str] = (), thresholds: Mapping[str, float] | None = None
) -> Statement:
    """Make a reason ready; `thresholds` are what the features of the evidence are compared with."""
    bounds = thresholds or {}
    names = dict.fromkeys(
        name for template in (words.en, words.zh) for _, name, _, _ in string.Formatter().parse(template) if name
    )
    return Statement(
        code,
        _percent_template(words.en),
        _percent_template(words.zh),
        tuple((name, INDEX[name], _shown_as(_UNITS[name])) for name in names),
        tuple(_Evidence(name, INDEX[name], _UNITS[name], bounds.get(name)) for name in evidence),
    )


def reason(code: str, words: Words, row: Sequence[float], evidence: tuple[str, ...] = ()) -> Draft:
    """One reason as its contract has it, from a row of the feature matrix."""
    return _statement(code, words.en, words.zh, evidence).of(row)


@cache
def _statement(code: str, en: str, zh: str, evidence: tuple[str, ...]) -> Statement:
    return statement(code, Words(en=en, zh=zh), evidence)


def number(value: float) -> float:
    """A value as it is published; what is no number is never shown as one."""
    return round(value, DIGITS) if isfinite(value) else 0.0


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
