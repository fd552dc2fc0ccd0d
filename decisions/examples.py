"""Training examples: the vector is kept when it is scored, and handed out when its label has matured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.outcome import Example
from features.catalogue import INDEX
from features.kernel import LABEL_POSITIVE, Advanced
from policy.row import Draft
from scoring.model import Model


@dataclass(frozen=True, slots=True)
class Matured:
    """Examples whose labels matured, with their messages' drafts by row of the batch."""

    examples: list[Example]
    drafts: list[tuple[int, Draft]]
    dropped: int  # of them, scored with other inputs than the model's: of no use to it


def mature(records: NDArray[np.void], advanced: Advanced, users: Sequence[str], model: Model) -> Matured:
    """Keep the vectors of examples opened in the rows of `advanced`, hand out those whose labels matured, in order.

    Works on the records in place; vectors that nothing refers to any more are wiped, so that a record's bytes depend
    only on what is open.
    """
    found = Matured([], [], 0)
    dropped = 0
    columns = [INDEX[name] for name in model.inputs]
    for index in np.flatnonzero(advanced.opened | (advanced.label > 0) | advanced.retire).tolist():
        record = records[int(advanced.row[index])]
        if advanced.label[index]:
            if record["example_schema"] == model.schema_hash:
                example = _example(record, index, advanced, users, len(columns))
                found.examples.append(example)
                found.drafts.append((index, _draft(model, example)))
            else:
                dropped += 1
        _keep(record, 0, 0, np.zeros(0))
        if advanced.opened[index]:
            _keep(record, int(advanced.time[index]), model.schema_hash, advanced.features[index, columns])
    return Matured(found.examples, found.drafts, dropped)


def _keep(record: np.void, scored: int, schema: int, inputs: NDArray[np.float64]) -> None:
    record["example_scored"] = scored
    record["example_schema"] = schema
    record["example_inputs"] = 0
    record["example_inputs"][: len(inputs)] = inputs


def _example(record: np.void, index: int, advanced: Advanced, users: Sequence[str], count: int) -> Example:
    return Example(
        user=users[int(advanced.row[index])],
        inputs=record["example_inputs"][:count].copy(),
        label=bool(advanced.label[index] == LABEL_POSITIVE),
        scored_time=int(record["example_scored"]) * 1000,
        matured_time=int(advanced.time[index]) * 1000,
    )


def _draft(model: Model, example: Example) -> Draft:
    return Draft(
        topic="training-examples",
        kind="training_example",
        rule="example",
        body={
            "label": example.label,
            "scored_time": example.scored_time,
            "inputs": {name: float(value) for name, value in zip(model.inputs, example.inputs, strict=True)},
        },
        label="matured",
        outcome="positive" if example.label else "negative",
    )
