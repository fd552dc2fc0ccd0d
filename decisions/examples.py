"""Training examples: the vector is kept when it is scored, and handed out when its label has matured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions.outcome import Example
from features.catalogue import INDEX
from features.kernel import Advanced
from policy.row import Draft
from scoring.model import Model

_POSITIVE = 2


@dataclass(frozen=True, slots=True)
class Open:
    """The examples that were open before the batch: when each was scored (s), and with which inputs."""

    rows: NDArray[np.uint32]
    scored: NDArray[np.int64]

    def of(self, row: int) -> int:
        """When the open example of `row` was scored; 0 where none was open."""
        position = int(np.searchsorted(self.rows, row))
        return int(self.scored[position]) if position < len(self.rows) and self.rows[position] == row else 0


def still_open(records: NDArray[np.void], rows: NDArray[np.uint32]) -> Open:
    """Note what is open in `rows` (ascending): the kernel forgets the time when it closes an example."""
    return Open(rows, records["example_opened"][rows].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Matured:
    """Examples whose labels matured, with their messages' drafts by row of the batch."""

    examples: list[Example]
    drafts: list[tuple[int, Draft]]
    dropped: int


def mature(records: NDArray[np.void], before: Open, advanced: Advanced, users: Sequence[str], model: Model) -> Matured:
    """Store the vectors of examples opened in these rows and hand out those whose labels matured, in the rows' order.

    A vector that was scored with other inputs than the model's is of no use to it: such are counted as dropped.
    """
    examples: list[Example] = []
    drafts: list[tuple[int, Draft]] = []
    dropped = 0
    columns = [INDEX[name] for name in model.inputs]
    opened_at: dict[int, int] = {}
    for index in np.flatnonzero(advanced.opened | (advanced.label > 0)).tolist():
        row, time = int(advanced.row[index]), int(advanced.time[index])
        record = records[row]
        if advanced.label[index]:
            if record["example_schema"] == model.schema_hash:
                inputs = record["example_inputs"][: len(columns)].copy()
                scored = opened_at.get(row) or before.of(row)
                label = bool(advanced.label[index] == _POSITIVE)
                examples.append(Example(users[row], inputs, label, scored * 1000, time * 1000))
                drafts.append((index, _draft(model, examples[-1])))
            else:
                dropped += 1
        if advanced.opened[index]:
            record["example_schema"] = model.schema_hash
            record["example_inputs"] = 0
            record["example_inputs"][: len(columns)] = advanced.features[index, columns]
            opened_at[row] = time
    return Matured(examples, drafts, dropped)


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


def forget(records: NDArray[np.void], before: Open) -> None:
    """Wipe vectors that nothing refers to any more, so that a record's bytes depend only on what is open."""
    rows = before.rows[records["example_opened"][before.rows] == 0]
    stale = rows[records["example_schema"][rows] != 0]
    records["example_schema"][stale] = 0
    records["example_inputs"][stale] = 0
