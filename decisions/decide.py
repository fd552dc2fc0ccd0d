"""The one pure function in the middle: the product on one page."""

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

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

    drafts = sorted(judged.drafts + matured.drafts, key=itemgetter(0))
    counts = Counter((draft.topic, draft.label, draft.outcome) for _, draft in drafts)
    if matured.dropped:
        counts["training-examples", "dropped", "schema"] = matured.dropped
    retired = _retired(advanced)
    return Outcome(
        touched=np.setdiff1d(judged.rows, retired, assume_unique=True) if len(retired) else judged.rows,
        retired=retired.tolist(),
        decisions=seal(drafts, advanced, events, users, policy, model),
        caused=advanced.event[[index for index, _ in drafts]] if drafts else np.zeros(0, np.int32),
        examples=matured.examples,
        watermark=advanced.watermark,
        disposition=advanced.disposition,
        scores=_scores(advanced, judged),
        counts=counts,
    )


def _retired(advanced: Advanced) -> NDArray[np.uint32]:
    """Users whose newest row retires them, ascending: one who came back within the batch stays."""
    if not advanced.retire.any():
        return np.zeros(0, np.uint32)
    users, newest = np.unique(advanced.row[::-1], return_index=True)
    return users[advanced.retire[::-1][newest]]


def _scores(advanced: Advanced, judged: Judged) -> Scores:
    rows = np.flatnonzero(advanced.event >= 0)
    return Scores(
        event=advanced.event[rows],
        default_probability=advanced.features[rows, INDEX["default_probability"]],
        spending_anomaly=advanced.features[rows, INDEX["spending_anomaly"]],
        grade=judged.grade[rows],
        limit=judged.limit[rows],
    )
