"""What a batch led to: everything that has to be stored, published, learned from and counted."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from messages.message import Message


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs of the model as they were scored (f4[n], in the order of its inputs), with the label that matured."""

    user: str
    inputs: NDArray[np.float32]
    label: bool
    scored_time: int  # ms
    matured_time: int  # ms


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry for each applied event of the batch, in the order of events."""

    event: NDArray[np.int32]  # index of the event in the batch
    default_probability: NDArray[np.float64]
    spending_anomaly: NDArray[np.float64]
    grade: NDArray[np.uint8]  # after the event; 0: none, 1: A, 2: B, 3: C
    limit: NDArray[np.int64]  # after the event, minor units


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `decide` returns; the records were advanced in place.

    `counts` has an entry per (topic, label, outcome): warnings by trigger and status, limit changes by direction,
    score changes by grade, answers by reason, collection actions by step; and ("training-examples", "dropped",
    "schema") for labels whose vector was scored with inputs that the model in force does not have.
    """

    touched: NDArray[np.uint32]  # rows that have to be written, ascending; without the retired ones
    retired: list[int]  # rows whose users are to be forgotten
    decisions: list[Message]
    caused: NDArray[np.int32]  # by decision, index of the event that led to it; -1: a timer
    examples: list[Example]
    watermark: int  # s
    disposition: NDArray[np.uint8]  # per event: 0 duplicate, 1 applied, 2 applied, too late for the windows
    scores: Scores
    counts: Counter[tuple[str, str, str]]
