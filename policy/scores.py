"""Why a score is what it is, in the words of the policy's labels."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from policy.document import Document, Words
from policy.reasons import Draft as Reason
from policy.reasons import reason
from scoring.model import Model

_MOST = 3


def reasons_of(
    document: Document, model: Model, rows: NDArray[np.float64], plain: Sequence[Sequence[float]]
) -> list[list[Reason]]:
    """For each of f8[k, WIDTH] the inputs that weigh most in its default probability: the heaviest first, at most 3.

    `plain` holds the same rows as lists.
    """
    if not len(rows):
        return []
    names, weights = model.weigh(rows)
    # Stable, so that equal weights keep the order of the names on every machine.
    heaviest = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :_MOST]
    weighed = zip(heaviest.tolist(), np.take_along_axis(weights, heaviest, axis=1).tolist(), plain, strict=True)
    return [
        [
            _reason(document, names[column], weight > 0, row)
            for column, weight in zip(chosen, heavy, strict=True)
            if weight
        ]
        for chosen, heavy, row in weighed
    ]


def _reason(document: Document, name: str, raises: bool, row: Sequence[float]) -> Reason:
    label = document.labels.get(name)
    en, zh = (label.en, label.zh) if label is not None else (name.replace("_", " "), name)
    return reason(f"score:{name}", _words(name, en, zh, raises), row, (name,))


@cache
def _words(name: str, en: str, zh: str, raises: bool) -> Words:
    effect_en, effect_zh = ("raises", "提高") if raises else ("lowers", "降低")
    return Words(
        en=f"{en} ({{{name}}}) {effect_en} the default probability.", zh=f"{zh}（{{{name}}}）{effect_zh}违约概率。"
    )
