"""The one pure function in the middle: the product on one page."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decisions.envelope import seal
from decisions.examples import mature
from decisions.in_force import InForce
from decisions.outcome import Outcome, Scores
from features.catalogue import INDEX
from features.kernel import Advanced, advance
from messages.columns import Events
from policy.judge import Judged, judge


def decide(
    records: NDArray[np.void],
    events: Events,
    users: Sequence[str],
    in_force: InForce,
    watermark: int,
    clock: int = 0,
    rows_due: NDArray[np.uint32] | None = None,
) -> Outcome:
    """Advance the users' records by a batch of events and decide what follows from it.

    `records` RECORD[u] are changed in place; `events.columns["row"]` and `rows_due` (users whose timers may be due;
    None: all) are rows of it, and `users[row]` is the user's id. `watermark` is in seconds of event time; `clock` is
    what counts as now in milliseconds, or 0 for event time only. No I/O, no randomness, no other time: the same
    arguments give the same bytes, and so does a stream however it is cut into batches.
    """
    policy, model, market = in_force.policy, in_force.model, in_force.market
    advanced = advance(records, events.columns, watermark, policy.terms, market, clock, rows_due)
    judged = judge(records, advanced, events, users, policy, model)
    matured = mature(records, advanced, users, model)

    drafts = sorted(judged.drafts + matured.drafts, key=lambda found: found[0])
    counts = Counter((draft.topic, draft.label, draft.outcome) for _, draft in drafts)
    if matured.dropped:
        counts["training-examples", "dropped", "schema"] = matured.dropped
    retired = _retired(advanced)
    return Outcome(
        touched=np.setdiff1d(judged.rows, np.array(retired, np.uint32)),
        retired=retired,
        decisions=[seal(draft, index, advanced, events, users, policy, model) for index, draft in drafts],
        examples=matured.examples,
        watermark=advanced.watermark,
        disposition=advanced.disposition,
        scores=_scores(advanced, judged),
        counts=counts,
    )


def _retired(advanced: Advanced) -> list[int]:
    """Users whose newest row retires them: one who came back within the batch stays."""
    last = {int(row): index for index, row in enumerate(advanced.row)} if advanced.retire.any() else {}
    return sorted(row for row, index in last.items() if advanced.retire[index])


def _scores(advanced: Advanced, judged: Judged) -> Scores:
    rows = np.flatnonzero(advanced.event >= 0)
    return Scores(
        event=advanced.event[rows],
        default_probability=advanced.features[rows, INDEX["default_probability"]],
        spending_anomaly=advanced.features[rows, INDEX["spending_anomaly"]],
        grade=judged.grade[rows],
        limit=judged.limit[rows],
    )
