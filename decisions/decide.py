"""The one pure function in the middle: the product on one page."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from decisions.envelope import seal
from decisions.examples import mature
from decisions.in_force import InForce
from decisions.outcome import Outcome, Scores
from decisions.work import Users, Work, shares
from features.catalogue import INDEX
from features.kernel import Advanced, Span, Stretch, advance_each
from messages.columns import Events
from policy.judge import Judged, judge
from policy.standing import gather, join, pick, scatter

_line = itemgetter(0)
_NONE = np.zeros(0, np.int32)


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
    (outcome,) = decide_each([Work(records, events, users, watermark, clock, rows_due)], in_force)
    return outcome


def decide_each(works: Sequence[Work], in_force: InForce) -> list[Outcome]:
    """Decide the work of one or more partitions as `decide` does: what a call costs at any rate is paid once.

    Raises ValueError where their events have too many sources (`Events.concatenate`).
    """
    policy, model = in_force.policy, in_force.model
    stretches = [Stretch(work.records, work.events.columns, *work[3:]) for work in works]
    advanced = advance_each(stretches, policy.terms, in_force.market)
    events = Events.concatenate([work.events for work in works])
    users = works[0].users if len(works) == 1 else Users(works, advanced.spans)
    rows, whose = np.unique(advanced.row, return_inverse=True)
    parts = shares(works, advanced.spans, rows)

    standing = join([gather(part.work.records, part.rows) for part in parts])
    judged = judge(standing, whose, advanced, events, users, policy, model)
    for part in parts:
        changed = np.flatnonzero(judged.changed[part.users])
        scatter(part.work.records, part.rows[changed], pick(standing[part.users], changed))
    matured = [mature(part, advanced, model) for part in parts]

    drafts = sorted([*judged.drafts, *chain.from_iterable(ripe.drafts for ripe in matured)], key=_line)
    decisions = seal(drafts, advanced, events, users, policy, model)
    caused, retired = advanced.event[list(map(_line, drafts))] if drafts else _NONE, _retired(advanced)
    outcomes = []
    for part, ripe in zip(parts, matured, strict=True):
        begin, end = (bisect_left(drafts, line, key=_line) for line in (part.span.lines.start, part.span.lines.stop))
        counts = Counter((draft.topic, draft.label, draft.outcome) for _, draft in drafts[begin:end])
        if ripe.dropped:
            counts["training-examples", "dropped", "schema"] = ripe.dropped
        gone = np.isin(rows[part.users], retired) if len(retired) else None
        outcomes.append(
            Outcome(
                touched=part.rows if gone is None else part.rows[~gone],
                retired=[] if gone is None else part.rows[gone].tolist(),
                decisions=decisions[begin:end],
                caused=_counted_from(part.span.events.start, caused[begin:end]),
                examples=ripe.examples,
                watermark=part.span.watermark,
                disposition=advanced.disposition[part.span.events],
                scores=_scores(part.span, advanced, judged),
                counts=counts,
            )
        )
    return outcomes


def _counted_from(first: int, event: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers of events, -1 for none, as those of a work whose first event is `first`."""
    return np.where(event < 0, event, event - first) if first else event


def _retired(advanced: Advanced) -> NDArray[np.uint32]:
    """Users whose newest row retires them, ascending: one who came back within the batch stays."""
    if not advanced.retire.any():
        return np.zeros(0, np.uint32)
    users, newest = np.unique(advanced.row[::-1], return_index=True)
    return users[advanced.retire[::-1][newest]]


def _scores(span: Span, advanced: Advanced, judged: Judged) -> Scores:
    event, features = advanced.event[span.lines], advanced.features[span.lines]
    rows = np.flatnonzero(event >= 0)
    return Scores(
        event=_counted_from(span.events.start, event[rows]),
        default_probability=features[rows, INDEX["default_probability"]],
        spending_anomaly=features[rows, INDEX["spending_anomaly"]],
        grade=judged.grade[span.lines][rows],
        limit=judged.limit[span.lines][rows],
    )
