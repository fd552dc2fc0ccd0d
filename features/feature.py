"""What the catalogue says about one feature."""

from dataclasses import dataclass
from typing import Literal

from messages.vocabulary import Kind

Owner = Literal["event", "record", "standing", "score"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix (float64, never NaN or infinite).

    `owner` says who fills it: "event" and "record" the kernel (facts of the row's event, 0 or `default` on other rows
    and when a record is only read; and what the record knows), "standing" the policy, "score" the model.
    `default` is the value where the feature is undefined; `moved_by` the kinds of events that can change it besides
    the passing of time.
    """

    name: str
    window: str
    unit: str
    default: float
    moved_by: tuple[Kind, ...]
    meaning: str
    owner: Owner = "record"
