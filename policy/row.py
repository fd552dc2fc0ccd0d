"""One row that decides something: what its decisions share, and the drafts that they leave."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from features.catalogue import INDEX
from messages.inputs import LARGEST_AMOUNT, LATEST_MS
from messages.outputs import GRADES
from policy.reasons import number


class Draft(msgspec.Struct, frozen=True):
    """A decision without its envelope (id, user, time, cause, versions).

    `kind` and `rule` make its id unique among the decisions of one row; `label` and `outcome` are what metrics count.
    """

    topic: str
    kind: str
    rule: str
    body: dict[str, Any]
    label: str
    outcome: str


@dataclass(slots=True)
class Row:
    """A row of the feature matrix with the standing of its user, which its decisions change in place.

    `time` is in seconds of event time; a late event's is before that of rows decided earlier.
    """

    user: str
    time: int
    features: Sequence[float]
    standing: np.void
    drafts: list[Draft] = field(default_factory=list)

    def value(self, name: str) -> float:
        """The row's value of a feature."""
        return self.features[INDEX[name]]

    def published(self, name: str) -> float:
        """The same, as it is published."""
        return number(self.features[INDEX[name]])

    def amount(self, name: str) -> int:
        """A feature in minor units as the contracts carry it."""
        return clamp(self.value(name))

    def grade(self) -> str | None:
        """The user's grade as of now."""
        grade = int(self.standing["grade"])
        return GRADES[grade - 1] if grade else None

    def after(self, seconds: int) -> int:
        """Milliseconds of a moment that many seconds after the row."""
        return min((self.time + seconds) * 1000, LATEST_MS - 1)

    def advance(self, name: str) -> None:
        """Set a time of the standing to the row's; late events do not turn it back."""
        self.standing[name] = max(int(self.standing[name]), self.time)


def clamp(amount: float) -> int:
    """An amount within what the contracts allow; what is no number counts as the most."""
    return int(min(max(amount, 0), LARGEST_AMOUNT)) if isfinite(amount) else LARGEST_AMOUNT
