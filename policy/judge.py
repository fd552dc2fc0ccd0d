"""Judging a batch of feature rows in rounds, so that a decision is seen by the user's next row and by no earlier one.

A round looks at all pending rows at once: those that may decide something (`policy.screening`) are judged, as columns.
Of each user, the first row that decides something is decided; what lies before it is final, what lies behind it is
looked at again in the next round, against the standing that it left. Most users have no such row, so the first round is
nearly all the work, and how a batch is cut cannot show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX
from features.kernel import Advanced
from messages.columns import Events
from messages.vocabulary import Kind
from policy import collections, grades, limits, requests, triggers
from policy.columns import Columns
from policy.document import RANK
from policy.guardrails import Remaining, count
from policy.policy import Policy
from policy.reasons import Draft as Reason
from policy.row import Draft, Row
from policy.scores import reasons_of
from policy.screening import Screened, may_decide
from policy.standing import complete, pick, put
from scoring.anomaly import spending_anomaly
from scoring.model import Model

#: After a decision, at most so many of the user's next rows are judged again in one round.
ROWS_AGAIN = 64
LIMIT_REQUEST, ACCOUNT_CLOSED = int(Kind.LIMIT_REQUEST), int(Kind.ACCOUNT_CLOSED)


@dataclass(slots=True)
class Judged:
    """What was decided: `drafts` as (row, draft) in the order of rows; `grade` and `limit` as of after each row."""

    drafts: list[tuple[int, Draft]]
    grade: NDArray[np.uint8]
    limit: NDArray[np.int64]
    changed: NDArray[np.bool_]  # by standing
    rounds: int


@dataclass(frozen=True, slots=True)
class _Round:
    """Everything known about the p rows of one round that may decide something, before anything in them is decided."""

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


class _Acting(NamedTuple):
    """What a round found about one row that decides something, as plain values."""

    position: int  # in the round
    at: int  # in the batch
    features: list[float]
    kind: int
    opening: bool
    moved: bool  # the score
    grade: int
    warnings: list[tuple[int, int, int]]  # of those that move or are open: trigger's line, status, severity after it
    step: int
    target: int
    collecting: bool  # the collection step moves
    collection_step: int
    retire: bool
    raises_left: int
    why: list[Reason]  # the default probability is what it is


def judge(
    standing: NDArray[np.void],
    whose: NDArray[np.int64],
    advanced: Advanced,
    events: Events,
    users: Sequence[str],
    policy: Policy,
    model: Model,
) -> Judged:
    """Judge the m rows of `advanced`, each against the standing `whose[m]` of STANDING[k].

    `users[row]` is the id of the user of row `row` of the records. Fills the standing and score columns of
    `advanced.features`, and changes `standing`, both in place.
    """
    batch = _Batch(advanced, events, users, policy, model)
    total = len(advanced.row)
    changed = np.zeros(len(standing), np.bool_)
    judged = Judged([], np.zeros(total, np.uint8), np.zeros(total, np.int64), changed, 0)
    pending = np.arange(total)
    while len(pending):
        now = _first_of_each(whose[pending]) if judged.rounds else np.ones(len(pending), np.bool_)
        seen = pending[now]
        known = pick(standing, whose[seen])
        judged.grade[seen], judged.limit[seen] = known["grade"], known["limit"]
        hit_at = np.full(len(standing), total)
        current = batch.look(seen, known)
        if current is not None:
            positions = _first_acting(current, whose, hit_at)
            judged.drafts += batch.decide(current, positions)
            decided = current.rows[positions]
            put(standing, whose[decided], pick(current.standing, positions))
            changed[whose[decided]] = True
            judged.grade[decided] = standing["grade"][whose[decided]]
            judged.limit[decided] = standing["limit"][whose[decided]]
        pending = pending[~now | (pending > hit_at[whose[pending]])]
        judged.rounds += 1
    judged.drafts.sort(key=itemgetter(0))
    return judged


def _first_acting(current: _Round, whose: NDArray[np.int64], hit_at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in the round of each user's first row that decides something; notes these rows in `hit_at`."""
    acting = np.flatnonzero(current.acts)
    rows = current.rows[acting]
    users = whose[rows]
    # Backwards, because of what is written to one place the last stays.
    hit_at[users[::-1]] = rows[::-1]
    return np.asarray(acting[hit_at[users] == rows])


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


def _warnings(moves: triggers.Moves, positions: NDArray[np.int64]) -> list[list[tuple[int, int, int]]]:
    """By position, each warning that moves or is open, in the order of triggers, the review last."""
    move, severity = moves.move[:, positions], moves.severity[:, positions]
    lines, at = np.nonzero(move | severity)
    found: list[list[tuple[int, int, int]]] = [[] for _ in positions]
    told = zip(at.tolist(), lines.tolist(), move[lines, at].tolist(), severity[lines, at].tolist(), strict=True)
    for row, line, status, rank in told:
        found[row].append((line, status, rank))
    return found


class _Batch:
    """What all rounds of a batch share."""

    def __init__(self, advanced: Advanced, events: Events, users: Sequence[str], policy: Policy, model: Model) -> None:
        self.policy, self.model, self.events, self.advanced, self.users = policy, model, events, advanced, users
        is_event = advanced.event >= 0
        happened = advanced.event[is_event]
        self.kind = np.zeros(len(advanced.row), np.uint8)
        self.amount = np.zeros(len(advanced.row), np.int64)
        self.kind[is_event] = events.columns["kind"][happened]
        self.amount[is_event] = events.columns["amount"][happened]
        self.time = advanced.time.astype(np.int64)
        self.answered = (self.kind == LIMIT_REQUEST) | (self.kind == ACCOUNT_CLOSED) | advanced.retire
        features = advanced.features
        features[:, INDEX["warming"]] = float(model.warming)
        features[:, INDEX["spending_anomaly"]] = spending_anomaly(features)

    def look(self, rows: NDArray[np.int64], standing: NDArray[np.void]) -> _Round | None:
        """Judge those of `rows` that may decide something, against STANDING[p]: their users' as of before each row.

        Returns None where there are none. Scores all of them, and fills their standing columns.
        """
        time, kind = self.time[rows], self.kind[rows]
        opening = limits.open_accounts(standing, kind, self.amount[rows], time, self.policy.document.limits.cap)
        whole = len(rows) == len(self.time)
        features = self.advanced.features if whole else self.advanced.features[rows]
        complete(features, standing, time)
        probability, sound = self._score(features)
        if not whole:
            self.advanced.features[rows] = features
        anyway = opening | ~sound | self.answered[rows]
        screened = may_decide(self.policy.screen, features, standing, time, probability, anyway)
        at = np.flatnonzero(screened.through)
        if not len(at):
            return None
        failures: triggers.Failures = [] if sound.all() else [("default_probability", ~sound[at])]
        return self._assess(
            rows[at], features[at], pick(standing, at), opening[at], probability[at], screened, failures
        )

    def _assess(
        self,
        rows: NDArray[np.int64],
        features: NDArray[np.float64],
        standing: NDArray[np.void],
        opening: NDArray[np.bool_],
        probability: NDArray[np.float64],
        screened: Screened,
        failures: triggers.Failures,
    ) -> _Round:
        """Judge `rows`, those that went through, as columns."""
        document, time = self.policy.document, self.time[rows]
        known = screened.known()
        columns = Columns(features, INDEX, known=known)
        graded = grades.assess(document.grades, columns, standing, time, probability, failures)
        # Everything else goes by the grade that this row gives: who has just become worse gets no raise.
        features[:, INDEX["grade"]] = self.advanced.features[rows, INDEX["grade"]] = graded.grade
        known = {key: value for key, value in known.items() if key not in screened.screen.answers.by_grade}
        columns = Columns(features, INDEX, () if known else self.policy.features, known)
        steps = collections.assess(document.collections, columns, standing, failures)
        room = limits.room(document.limits, columns, failures)
        wishes = requests.assess(document.limits, columns, failures)
        left = Remaining(document.guard_rails, standing, time)
        watches = self.policy.watches
        found = screened.found() or triggers.evaluate(watches, columns)
        moves = triggers.assess(watches, self.policy.table, document.review, found, standing, time, left, failures)
        plan = limits.plan(document.limits, columns, standing, time, moves, room, left)
        acts = opening | graded.moved | steps.moved | moves.moves | (plan.step != limits.NONE) | self.answered[rows]
        return _Round(rows, features, standing, opening, graded, steps, moves, plan, room, wishes, left, failures, acts)

    def _score(self, features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Default probability of p rows, written into its column, and where it is sound.

        One that is no number counts as certain default.
        """
        probability = self.model.probability(features)
        sound = np.isfinite(probability)
        if not sound.all():
            probability = np.where(sound, probability, 1.0)
        features[:, INDEX["default_probability"]] = probability
        return probability, sound

    def decide(self, current: _Round, positions: NDArray[np.int64]) -> list[tuple[int, Draft]]:
        """Decide the rows at `positions`: changes their entries of `current.standing`, returns (row, draft) of each."""
        drafts: list[tuple[int, Draft]] = []
        for acting in self._acting(current, positions):
            drafts += [(acting.at, draft) for draft in self._decide(current, acting)]
        return drafts

    def _acting(self, current: _Round, positions: NDArray[np.int64]) -> list[_Acting]:
        rows, matrix = current.rows[positions], current.features[positions]
        features, moves = matrix.tolist(), current.moves
        return list(
            map(
                _Acting,
                positions.tolist(),
                rows.tolist(),
                features,
                self.kind[rows].tolist(),
                current.opening[positions].tolist(),
                current.graded.moved[positions].tolist(),
                current.graded.grade[positions].tolist(),
                _warnings(moves, positions),
                current.plan.step[positions].tolist(),
                current.plan.target[positions].tolist(),
                current.steps.moved[positions].tolist(),
                current.steps.step[positions].tolist(),
                self.advanced.retire[rows].tolist(),
                current.left.raises(positions).tolist(),
                self._whys(current, positions, matrix, features),
            )
        )

    def _whys(
        self, current: _Round, positions: NDArray[np.int64], matrix: NDArray[np.float64], features: list[list[float]]
    ) -> list[list[Reason]]:
        """Why the default probability is what it is, for the rows that say something about it."""
        about = [line for line, watch in enumerate(self.policy.watches) if watch.on_probability]
        moves = current.moves.move[about][:, positions]
        asked = np.flatnonzero(current.graded.moved[positions] | moves.any(axis=0))
        whys: list[list[Reason]] = [[]] * len(positions)
        told = reasons_of(self.policy.document, self.model, matrix[asked], [features[i] for i in asked.tolist()])
        for i, why in zip(asked.tolist(), told, strict=True):
            whys[i] = why
        return whys

    def _decide(self, current: _Round, acting: _Acting) -> list[Draft]:
        """The drafts of one row, in a fixed order."""
        document, index = self.policy.document, acting.at
        user = self.users[int(self.advanced.row[index])]
        row = Row(user, int(self.time[index]), acting.features, current.standing[acting.position])
        if acting.moved:
            grades.announce(acting.grade, self.model.warming, acting.why, row)
        if acting.opening:
            limits.announce_opened(document.limits, int(self.amount[index]), row)
        cause = self._announce_warnings(current, acting, row)
        if acting.step != limits.NONE:
            limits.announce(document.limits, document.guard_rails, acting.step, acting.target, cause, row)
        if acting.kind == LIMIT_REQUEST:
            self._answer(current, acting, row)
        if acting.collecting:
            collections.announce(document.collections, acting.collection_step, self.policy.terms.utc_offset, row)
        if acting.kind == ACCOUNT_CLOSED:
            limits.announce_closed(document.limits, row)
        if acting.retire:
            limits.announce_forgotten(document.limits, row)
            current.standing[acting.position] = np.zeros((), current.standing.dtype)
        return row.drafts

    def _announce_warnings(self, current: _Round, acting: _Acting, row: Row) -> limits.Cause:
        """Leaves the drafts of warnings; returns what those that freeze or cut the limit say about it."""
        cause = limits.Cause()
        freezes, cuts = acting.step == limits.FREEZE, acting.step == limits.CUT
        for line, status, rank in acting.warnings:
            if line == len(self.policy.watches):
                self._announce_review(current, acting, status, rank, row)
                continue
            watch = self.policy.watches[line]
            worsened = status in (triggers.RAISED, triggers.ESCALATED)
            causes = (freezes and watch.freezes[rank]) or (cuts and worsened and watch.cuts[rank])
            if not (status or causes):
                continue
            reasons = triggers.reasons(watch, status, rank, row)
            if status:
                why = acting.why if watch.on_probability else []
                triggers.announce(watch.notice, status, rank, [*reasons, *why], self.model.warming, row)
                if status == triggers.RAISED and rank < RANK["critical"]:
                    count(self.policy.document.guard_rails, row.standing, row.time, "warnings")
            if causes:
                cause.reasons += reasons
                cause.path_back = cause.path_back or watch.trigger.path_back or ""
        return cause

    def _announce_review(self, current: _Round, acting: _Acting, status: int, rank: int, row: Row) -> None:
        if status:
            failed = sorted({name for name, bad in current.failures if bad[acting.position]})
            review = self.policy.document.review
            reasons = triggers.review_reasons(review, status, failed, row)
            triggers.announce(triggers.review_notice(review), status, rank, reasons, self.model.warming, row)

    def _answer(self, current: _Round, acting: _Acting, row: Row) -> None:
        position = acting.position
        request = requests.Request(
            reference=self.events.references[int(self.advanced.event[acting.at])],
            asked=int(self.amount[acting.at]),
            capacity=float(current.room.capacity[position]),
            worst_open=int(current.moves.worst[position]),
            failed=bool(current.moves.failed[position]),
            review=bool(current.wishes.review[position]),
            decline=bool(current.wishes.decline[position]),
            raises_left=acting.raises_left,
        )
        document = self.policy.document
        requests.answer(document.limits, document.guard_rails, request, row)
