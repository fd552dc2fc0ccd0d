"""Judging a batch of feature rows in rounds, so that a decision is seen by the user's next row and by no earlier one.

A round judges all pending rows at once, as columns. Of each user, the first row that decides something is decided; what
lies before it is final, what lies behind it is judged again in the next round, against the standing that it left. Most
users have no such row, so the first round is nearly all the work, and how a batch is cut cannot show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX
from features.kernel import Advanced
from messages.columns import Events
from messages.vocabulary import Kind
from policy import collections, grades, limits, requests, triggers
from policy.document import RANK
from policy.expressions import Columns
from policy.guardrails import Remaining, count, remaining
from policy.policy import Policy
from policy.reasons import Draft as Reason
from policy.row import Draft, Row
from policy.scores import reasons_of
from policy.standing import complete, gather, scatter
from scoring.anomaly import spending_anomaly
from scoring.model import Model

#: After a decision, at most so many of the user's next rows are judged again in one round.
ROWS_AGAIN = 64


@dataclass(slots=True)
class Judged:
    """What was decided: `drafts` as (row, draft) in the order of rows; `grade` and `limit` as of after each row."""

    drafts: list[tuple[int, Draft]]
    grade: NDArray[np.uint8]
    limit: NDArray[np.int64]
    standing: NDArray[np.void]  # STANDING[k] of `rows`, after the batch
    rows: NDArray[np.uint32]
    rounds: int


@dataclass(frozen=True, slots=True)
class _Round:
    """Everything known about the p rows of one round before anything in them is decided."""

    rows: NDArray[np.int64]  # rows of the batch
    features: NDArray[np.float64]
    standing: NDArray[np.void]
    opening: NDArray[np.bool_]
    graded: grades.Graded
    steps: collections.Steps
    moves: triggers.Moves
    plan: limits.Plan
    room: limits.Room
    wishes: requests.Wishes
    left: Remaining
    failures: triggers.Failures
    acts: NDArray[np.bool_]


def judge(
    records: NDArray[np.void],
    advanced: Advanced,
    events: Events,
    users: Sequence[str],
    policy: Policy,
    model: Model,
) -> Judged:
    """Judge the rows of `advanced`; `users[row]` is the id of the user of `records[row]`.

    Fills the standing and score columns of `advanced.features` and the standing of `records`, both in place.
    """
    batch = _Batch(advanced, events, users, policy, model)
    rows, local = np.unique(advanced.row, return_inverse=True)
    standing = gather(records, rows)
    total = len(advanced.row)
    judged = Judged([], np.zeros(total, np.uint8), np.zeros(total, np.int64), standing, rows, 0)
    pending = np.arange(total)
    while len(pending):
        now = _first_of_each(local[pending]) if judged.rounds else np.ones(len(pending), np.bool_)
        current = batch.assess(pending[now], standing[local[pending[now]]])
        judged.grade[current.rows] = current.standing["grade"]
        judged.limit[current.rows] = current.standing["limit"]
        hit_at = np.full(len(rows), total)
        acting = np.flatnonzero(current.acts)
        deciding, first = np.unique(local[current.rows[acting]], return_index=True)
        positions = acting[first]
        asked = positions[batch.tells_why(current, positions)]
        whys = dict(zip(asked.tolist(), reasons_of(policy.document, model, current.features[asked]), strict=True))
        for user, position in zip(deciding.tolist(), positions.tolist(), strict=True):
            row = int(current.rows[position])
            hit_at[user] = row
            decided = batch.decide(current, position, users[int(rows[user])], whys.get(position, []))
            standing[user] = current.standing[position]
            judged.grade[row], judged.limit[row] = standing[user]["grade"], standing[user]["limit"]
            judged.drafts += [(row, draft) for draft in decided]
        pending = pending[~now | (pending > hit_at[local[pending]])]
        judged.rounds += 1
    scatter(records, rows, standing)
    judged.drafts.sort(key=lambda found: found[0])
    return judged


def _first_of_each(users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks the first ROWS_AGAIN entries of each user: bounds the work where one user fills a whole batch."""
    if len(users) <= ROWS_AGAIN:
        return np.ones(len(users), np.bool_)
    order = np.argsort(users, kind="stable")
    ordered = users[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(users)) - np.repeat(starts, np.diff(np.r_[starts, len(users)]))
    marked = np.zeros(len(users), np.bool_)
    marked[order] = rank < ROWS_AGAIN
    return marked


class _Batch:
    """What all rounds of a batch share."""

    def __init__(self, advanced: Advanced, events: Events, users: Sequence[str], policy: Policy, model: Model) -> None:
        self.policy, self.model, self.events, self.advanced = policy, model, events, advanced
        is_event = advanced.event >= 0
        happened = advanced.event[is_event]
        self.kind = np.zeros(len(advanced.row), np.uint8)
        self.amount = np.zeros(len(advanced.row), np.int64)
        self.kind[is_event] = events.columns["kind"][happened]
        self.amount[is_event] = events.columns["amount"][happened]
        self.time = advanced.time.astype(np.int64)
        features = advanced.features
        features[:, INDEX["warming"]] = float(model.warming)
        features[:, INDEX["spending_anomaly"]] = spending_anomaly(features)

    def assess(self, rows: NDArray[np.int64], standing: NDArray[np.void]) -> _Round:
        """Judge `rows` as columns, against STANDING[p]: their users' as of before each row."""
        document, time, kind = self.policy.document, self.time[rows], self.kind[rows]
        opening = limits.open_accounts(standing, kind, self.amount[rows], time, document.limits.cap)
        whole = len(rows) == len(self.time)
        features = self.advanced.features if whole else self.advanced.features[rows]
        complete(features, standing, time)
        failures: triggers.Failures = []
        probability = self._score(features, failures)
        graded = grades.assess(document.grades, Columns(features, INDEX), standing, time, probability, failures)
        # Everything else goes by the grade that this row gives: who has just become worse gets no raise.
        features[:, INDEX["grade"]] = graded.grade
        if not whole:
            self.advanced.features[rows] = features
        columns = Columns(features, INDEX)
        steps = collections.assess(document.collections, columns, standing, failures)
        room = limits.room(document.limits, columns, failures)
        wishes = requests.assess(document.limits, columns, failures)
        left = remaining(document.guard_rails, standing, time)
        moves = triggers.assess(self.policy.watches, document.review, columns, standing, time, left.warnings, failures)
        plan = limits.plan(document.limits, columns, standing, time, moves, room, left)
        acts = opening | graded.moved | steps.moved | moves.move.any(axis=0) | (plan.step != limits.NONE)
        acts |= (kind == Kind.LIMIT_REQUEST) | (kind == Kind.ACCOUNT_CLOSED) | self.advanced.retire[rows]
        return _Round(rows, features, standing, opening, graded, steps, moves, plan, room, wishes, left, failures, acts)

    def _score(self, features: NDArray[np.float64], failures: triggers.Failures) -> NDArray[np.float64]:
        """Default probability of p rows, written into its column; one that is no number counts as certain default."""
        probability = self.model.probability(features)
        sound = np.isfinite(probability)
        if not sound.all():
            failures.append(("default_probability", ~sound))
            probability = np.where(sound, probability, 1.0)
        features[:, INDEX["default_probability"]] = probability
        return probability

    def tells_why(self, current: _Round, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows say something about their default probability: bool[k]."""
        about = [line for line, watch in enumerate(self.policy.watches) if watch.on_probability]
        moves = current.moves.move[about][:, positions]
        return np.asarray(current.graded.moved[positions] | moves.any(axis=0))

    def decide(self, current: _Round, position: int, user: str, why: list[Reason]) -> list[Draft]:
        """Decide one row: changes its entry of `current.standing` and returns the drafts, in a fixed order.

        `why` explains the row's default probability.
        """
        document, warming = self.policy.document, self.model.warming
        index = int(current.rows[position])
        row = Row(user, int(self.time[index]), current.features[position].tolist(), current.standing[position])
        if current.graded.moved[position]:
            grades.announce(int(current.graded.grade[position]), warming, why, row)
        if current.opening[position]:
            limits.announce_opened(document.limits, int(self.amount[index]), row)
        cause = self._announce_warnings(current, position, row, why)
        step = int(current.plan.step[position])
        if step != limits.NONE:
            target = int(current.plan.target[position])
            limits.announce(document.limits, document.guard_rails, step, target, cause, row)
        kind = self.kind[index]
        if kind == Kind.LIMIT_REQUEST:
            self._answer(current, position, index, row)
        if current.steps.moved[position]:
            step_after = int(current.steps.step[position])
            collections.announce(document.collections, step_after, self.policy.terms.utc_offset, row)
        retired = bool(self.advanced.retire[index])
        if kind == Kind.ACCOUNT_CLOSED:
            limits.announce_closed(document.limits, row)
        if retired:
            limits.announce_forgotten(document.limits, row)
            current.standing[position] = np.zeros((), current.standing.dtype)
        return row.drafts

    def _announce_warnings(self, current: _Round, position: int, row: Row, why: list[Reason]) -> limits.Cause:
        """Leaves the drafts of warnings; returns what those that freeze or cut the limit say about it."""
        cause = limits.Cause()
        warming, step = self.model.warming, int(current.plan.step[position])
        statuses, ranks = current.moves.move[:, position].tolist(), current.moves.severity[:, position].tolist()
        for watch, status, rank in zip(self.policy.watches, statuses[:-1], ranks[:-1], strict=True):
            if status:
                notice = triggers.notice(watch, status, rank, row)
                if watch.on_probability:
                    notice.reasons.extend(why)
                triggers.announce(notice, status, rank, warming, row)
                if status == triggers.RAISED and rank < RANK["critical"]:
                    count(self.policy.document.guard_rails, row.standing, row.time, "warnings")
            worsened = status in (triggers.RAISED, triggers.ESCALATED)
            if (step == limits.FREEZE and watch.freezes[rank]) or (
                step == limits.CUT and worsened and watch.cuts[rank]
            ):
                cause.reasons += triggers.notice(watch, triggers.RAISED, rank, row).reasons
                cause.path_back = cause.path_back or watch.trigger.path_back or ""
        if statuses[-1]:
            failed = sorted({name for name, bad in current.failures if bad[position]})
            notice = triggers.review_notice(self.policy.document.review, statuses[-1], failed, row)
            triggers.announce(notice, statuses[-1], ranks[-1], warming, row)
        return cause

    def _answer(self, current: _Round, position: int, index: int, row: Row) -> None:
        request = requests.Request(
            reference=self.events.references[int(self.advanced.event[index])],
            asked=int(self.amount[index]),
            capacity=float(current.room.capacity[position]),
            worst_open=int(current.moves.worst[position]),
            failed=bool(current.moves.failed[position]),
            review=bool(current.wishes.review[position]),
            decline=bool(current.wishes.decline[position]),
            raises_left=int(current.left.raises[position]),
        )
        document = self.policy.document
        requests.answer(document.limits, document.guard_rails, request, row)
