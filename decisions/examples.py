"""Training examples: the vector is kept when it is scored, and handed out when its label has matured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.outcome import Example
from decisions.work import Share
from features.catalogue import INDEX
from features.kernel import LABEL_POSITIVE, Advanced
from features.record import MODEL_INPUTS_MAX
from policy.row import Draft
from scoring.model import Model


@dataclass(frozen=True, slots=True)
class Matured:
    """Examples whose labels matured, with their messages' drafts by line of the batch."""

    examples: list[Example]
    drafts: list[tuple[int, Draft]]
    dropped: int  # of them, scored with other inputs than the model's: of no use to it


def mature(part: Share, advanced: Advanced, model: Model) -> Matured:
    """Keep the vectors of examples opened in the part's lines, hand out those whose labels matured, in order.

    Works on the part's records in place; vectors that nothing refers to any more are wiped, so that a record's bytes
    depend only on what is open.
    """
    lines, records = part.span.lines, part.work.records
    concerned = np.flatnonzero(advanced.opened[lines] | (advanced.label[lines] > 0) | advanced.retire[lines])
    if not len(concerned):
        return Matured([], [], 0)
    concerned += lines.start
    found: list[tuple[int, Example]] = []
    dropped, columns = 0, [INDEX[name] for name in model.inputs]
    latest: dict[int, int] = {}  # by row of the records, the latest of these lines
    rows = advanced.row[concerned] - np.uint32(part.span.records.start)
    for index, row in zip(concerned.tolist(), rows.tolist(), strict=True):
        if advanced.label[index]:
            kept = _kept(records[row], latest.get(row), advanced, model, columns)
            if kept is None:
                dropped += 1
            else:
                found.append((index, _example(part.work.users[row], index, advanced, *kept)))
        latest[row] = index
    _keep(records, np.array([*latest]), np.array([*latest.values()]), advanced, model, columns)
    return Matured(
        [example for _, example in found], [(index, _draft(model, example)) for index, example in found], dropped
    )


def _kept(
    record: np.void, before: int | None, advanced: Advanced, model: Model, columns: list[int]
) -> tuple[int, NDArray[np.float32]] | None:
    """When the open example was scored (s), and its inputs; None where they are not those of the model.

    `before` is the latest row of the batch that opened or ended an example of the record, None where none has.
    """
    if before is None:
        mine = record["example_schema"] == model.schema_hash
        return (int(record["example_scored"]), record["example_inputs"][: len(columns)].copy()) if mine else None
    if not advanced.opened[before]:
        return None
    return int(advanced.time[before]), advanced.features[before, columns].astype(np.float32)


def _keep(
    records: NDArray[np.void],
    rows: NDArray[np.intp],
    latest: NDArray[np.intp],
    advanced: Advanced,
    model: Model,
    columns: list[int],
) -> None:
    """Keep the vectors that the `latest` rows of the batch opened, wipe the others."""
    opened = advanced.opened[latest]
    inputs = np.zeros((len(rows), MODEL_INPUTS_MAX), np.float32)
    inputs[opened, : len(columns)] = advanced.features[latest[opened]][:, columns]
    records["example_scored"][rows] = np.where(opened, advanced.time[latest], 0)
    records["example_schema"][rows] = np.where(opened, model.schema_hash, 0)
    records["example_inputs"][rows] = inputs


def _example(user: str, index: int, advanced: Advanced, scored: int, inputs: NDArray[np.float32]) -> Example:
    return Example(
        user=user,
        inputs=inputs,
        label=bool(advanced.label[index] == LABEL_POSITIVE),
        scored_time=scored * 1000,
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
            "inputs": dict(zip(model.inputs, example.inputs.tolist(), strict=True)),
        },
        label="matured",
        outcome="positive" if example.label else "negative",
    )
