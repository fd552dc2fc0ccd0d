"""Why a score is what it is, in the words of the policy's labels."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from policy.document import Document, Words
from policy.reasons import Draft as Reason
from policy.reasons import Statement, statement
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
            _says(document, names[column], weight > 0).of(row)
            for column, weight in zip(chosen, of_row, strict=True)
            if weight
        ]
        for chosen, of_row, row in weighed
    ]


def _says(document: Document, name: str, raises: bool) -> Statement:
    label = document.labels.get(name)
    return (
        _statement(name, label.en, label.zh, raises)
        if label
        else _statement(name, name.replace("_", " "), name, raises)
    )


@cache
def _statement(name: str, en: str, zh: str, raises: bool) -> Statement:
    effect_en, effect_zh = ("raises", "提高") if raises else ("lowers", "降低")
    words = Words(
        en=f"{en} ({{{name}}}) {effect_en} the default probability.", zh=f"{zh}（{{{name}}}）{effect_zh}违约概率。"
    )
    return statement(f"score:{name}", words, (name,))
