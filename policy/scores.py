"""Why a score is what it is, in the words of the policy's labels."""

from policy.document import Document, Words
from policy.reasons import Draft as Reason
from policy.reasons import reason
from policy.row import Row
from scoring.model import Model

_MOST = 3


def reasons_of(document: Document, model: Model, row: Row) -> list[Reason]:
    """The inputs that weigh most in the row's default probability, the heaviest first, at most three."""
    parts = sorted(model.contributions(row.features), key=lambda part: (-abs(part[1]), part[0]))
    return [_reason(document, name, weight, row) for name, weight in parts[:_MOST] if weight]


def _reason(document: Document, name: str, weight: float, row: Row) -> Reason:
    label = document.labels.get(name)
    en, zh = (label.en, label.zh) if label is not None else (name.replace("_", " "), name)
    effect_en, effect_zh = ("raises", "提高") if weight > 0 else ("lowers", "降低")
    words = Words.model_construct(
        en=f"{en} ({{{name}}}) {effect_en} the default probability.", zh=f"{zh}（{{{name}}}）{effect_zh}违约概率。"
    )
    return reason(f"score:{name}", words, row.features, (name,))
