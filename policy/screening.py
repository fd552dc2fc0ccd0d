"""Which rows may decide something: most do not, and are told apart in one compiled loop before anything else is asked.

It leaves no row out that decides something, but lets some through that do not: what only narrows a decision down (guard
rails, the worst open warning, who refused automation) is not looked at, and a row of which anything cannot be evaluated
goes through. `policy.judge` then judges those that are left, as columns; what the conditions came to in these rows is
known by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX, WIDTH
from messages.compiled import Rows, compiled, part, signed
from policy.columns import Numbers, Truth
from policy.document import RANK, Document
from policy.expressions import Condition, Formula
from policy.grades import A, B, C
from policy.limits import raised_to
from policy.program import ROWS, STEP, Code, assembled, run
from policy.standing import FROZEN, OPEN, STANDING
from policy.triggers import Found, Watch

_RANKS = len(RANK) + 1
_DAYS, _OVERDUE = INDEX["days_past_due"], INDEX["overdue_amount"]
_AUTOMATION, _INCREASES = INDEX["consents_to_automation"], INDEX["consents_to_increases"]

#: A severity of a trigger: the place of its condition among the results.
LEVEL = np.dtype([("result", "i4"), ("rank", "i4")], align=True)
#: A trigger: its levels are those from `first` up to `last`; `clear` is the place of its condition, -1 for none.
WATCH = np.dtype(
    [
        ("slot", "i4"),
        ("first", "i4"),
        ("last", "i4"),
        ("clear", "i4"),
        ("cooldown", "i8"),
        ("freezes", "u1", (_RANKS,)),
    ],
    align=True,
)
#: A step of collection; `when` is the place of its condition, -1 for none.
COLLECTION = np.dtype([("from_days", "f8"), ("when", "i4")], align=True)
#: What there is once in a policy: places of results, and numbers under the names that the document gives them.
RULES = np.dtype(
    [
        ("enter_b", "i4"),
        ("leave_b", "i4"),
        ("enter_c", "i4"),
        ("leave_c", "i4"),
        ("ability_to_pay", "i4"),
        ("raise_when", "i4"),
        ("restore_when", "i4"),
        ("review_slot", "i4"),
        ("hold", "i8"),
        ("raise_cooldown", "i8"),
        ("restore_cooldown", "i8"),
        ("score_step", "f8"),
        ("raise_share", "f8"),
        ("smallest_raise", "f8"),
        ("cap", "f8"),
        ("round_to", "f8"),
    ],
    align=True,
)


class Answers(NamedTuple):
    """What the screen can tell of expressions: those of the triggers come first, the others have keys."""

    first: int  # place of the first of the others
    keys: tuple[str, ...]  # of the others, in `Columns.known`
    formulas: tuple[int, ...]  # which of the others yield numbers
    by_grade: frozenset[str]  # which of the others mention the grade, which judging may change
    watched_by_grade: bool  # whether a trigger's does

    @property
    def total(self) -> int:
        """Of all results."""
        return self.first + len(self.keys)


@dataclass(frozen=True, slots=True)
class Screened:
    """Which of p rows may decide something, and what the expressions came to in these: f8[through, results].

    There are no results where one of them could not be evaluated somewhere: which rows that concerns is not kept.
    """

    through: NDArray[np.bool_]
    screen: "Screen"
    results: NDArray[np.float64] | None

    def known(self) -> dict[str, Numbers | Truth]:
        """What is told of all but the triggers, for `Columns.known`, as of before a grade changes."""
        if self.results is None:
            return {}
        answers = self.screen.answers
        first, keys = answers.first, answers.keys
        holds = (self.results[:, first:] != 0.0).T
        known: dict[str, Numbers | Truth] = dict(zip(keys, map(Truth, holds), strict=True))
        return known | {keys[i]: Numbers(self.results[:, first + i]) for i in answers.formulas}

    def found(self) -> Found | None:
        """What is told of the triggers; None where one of them mentions the grade, or nothing is told."""
        ready = self.screen
        if self.results is None or ready.answers.watched_by_grade:
            return None
        holds = self.results[:, : ready.answers.first].T != 0.0
        if not len(ready.watches):
            return Found(np.zeros(holds.shape, np.uint8), holds)
        ranks = holds[ready.levels["result"]] * ready.levels["rank"].astype(np.uint8)[:, None]
        clear = ready.watches["clear"]
        over = holds[clear] | (clear < 0)[:, None]
        return Found(np.maximum.reduceat(ranks, ready.watches["first"]), over)


@dataclass(frozen=True, slots=True)
class Screen:
    """A policy made ready for `may_decide`; shared by all batches, not to be written to."""

    code: NDArray[np.void]  # STEP[n]
    watches: NDArray[np.void]  # WATCH[triggers]
    levels: NDArray[np.void]  # LEVEL[all of them]
    collections: NDArray[np.void]  # COLLECTION[steps]
    rules: NDArray[np.void]  # RULES[1]
    answers: Answers
    depth: int  # of the stack


def screen(document: Document, watches: tuple[Watch, ...]) -> Screen:
    """Make the policy of `document` ready."""
    codes, expressions = list[Code](), list[Condition | Formula]()

    def place(expression: Any) -> int:
        if expression is None:
            return -1
        expressions.append(expression)
        codes.append(expression.code)
        return len(codes) - 1

    levels, of_watches = list[tuple[int, int]](), list[tuple[Any, ...]]()
    for watch in watches:
        first = len(levels)
        levels += [(place(level.when), RANK[level.severity]) for level in watch.trigger.levels]
        clear = place(watch.trigger.clear_when)
        of_watches.append((watch.slot, first, len(levels), clear, watch.trigger.cooldown, watch.freezes))
    watched = len(codes)
    steps = [(step.from_days, place(step.when)) for step in document.collections.steps]
    limits, grades = document.limits, document.grades
    rules = (
        *map(place, (grades.B.enter, grades.B.leave, grades.C.enter, grades.C.leave)),
        *map(place, (limits.ability_to_pay, limits.raise_.when, limits.restore.when)),
        document.review.id - 1,
        grades.hold,
        limits.raise_.cooldown,
        limits.restore.cooldown,
        grades.score_step,
        limits.raise_.step_share,
        limits.raise_.smallest_step,
        limits.cap,
        limits.round_to,
    )
    # Their answers matter on rows only that go through at any rate; that they cannot be evaluated matters on every row.
    for condition in (limits.requests.review_when, limits.requests.decline_when):
        place(condition)
    code, depth = assembled(codes)
    return Screen(
        code=code,
        watches=np.array(of_watches, WATCH),
        levels=np.array(levels, LEVEL),
        collections=np.array(steps, COLLECTION),
        rules=np.array([rules], RULES),
        answers=_answers(expressions, watched),
        depth=depth,
    )


def _answers(expressions: Sequence[Condition | Formula], watched: int) -> Answers:
    """Of all expressions in the order of their results; the first `watched` are the triggers'."""
    others = expressions[watched:]
    return Answers(
        first=watched,
        keys=tuple(expression.key for expression in others),
        formulas=tuple(i for i, expression in enumerate(others) if isinstance(expression, Formula)),
        by_grade=frozenset(expression.key for expression in others if "grade" in expression.names),
        watched_by_grade=any("grade" in expression.names for expression in expressions[:watched]),
    )


def may_decide(
    ready: Screen,
    features: NDArray[np.float64],
    standing: NDArray[np.void],
    time: NDArray[np.int64],
    probability: NDArray[np.float64],
    anyway: NDArray[np.bool_],
) -> Screened:
    """Leave out the rows f8[p, WIDTH] of users with STANDING[p], at `time` (s), that certainly decide nothing.

    The standing and score columns are filled; `probability` is the row's default probability. Rows marked `anyway` go
    through: kinds of events that are answered at any rate are the caller's. Raises ValueError where the lengths differ.
    """
    if not (features.shape == (len(time), WIDTH) and len(standing) == len(probability) == len(anyway) == len(time)):
        raise ValueError("features, standing, time, probability and anyway must be of the same rows")
    found = np.empty(len(time), np.uint8)
    kept, counts = np.empty((len(time), ready.answers.total)), np.zeros(2, np.int64)
    _screen(
        features,
        standing,
        time,
        probability,
        anyway.view(np.uint8),
        ready.code,
        ready.watches,
        ready.levels,
        ready.collections,
        ready.rules,
        np.zeros((ready.depth, ROWS)),
        np.empty((ready.depth, ROWS), np.uint8),
        np.empty((ready.answers.total, ROWS)),
        found,
        kept,
        counts,
    )
    through, in_doubt = counts.tolist()
    return Screened(found.view(np.bool_), ready, None if in_doubt else kept[:through])


@compiled
def _screen(
    features: Annotated[Any, Rows(np.float64, 2)],
    standing: Annotated[Any, Rows(STANDING)],
    time: Annotated[Any, Rows(np.int64)],
    probability: Annotated[Any, Rows(np.float64)],
    anyway: Annotated[Any, Rows(np.uint8)],
    code: Annotated[Any, Rows(STEP)],
    watches: Annotated[Any, Rows(WATCH)],
    levels: Annotated[Any, Rows(LEVEL)],
    collections: Annotated[Any, Rows(COLLECTION)],
    rules: Annotated[Any, Rows(RULES)],
    stack: Annotated[Any, Rows(np.float64, 2)],
    bad: Annotated[Any, Rows(np.uint8, 2)],
    results: Annotated[Any, Rows(np.float64, 2)],
    found: Annotated[Any, Rows(np.uint8)],
    kept: Annotated[Any, Rows(np.float64, 2)],
    counts: Annotated[Any, Rows(np.int64)],
) -> None:
    """Fill `found`, and `kept` for the rows found; `stack`, `bad` and `results` are scratch.

    `counts` get how many rows were found, and of how many something could not be evaluated.
    """
    through = in_doubt = 0
    for start in range(0, len(found), ROWS):
        rows = min(ROWS, len(found) - start)
        run(code, features, start, rows, stack, bad, results, found)
        for k in range(rows):
            i, user, now, rule = start + k, standing[start + k], time[start + k], rules[0]
            in_doubt += found[i]
            found[i] = (
                found[i] != 0
                or anyway[i] != 0
                or user.warning_severity[rule.review_slot] > 0
                or abs(probability[i] - user.published_probability) >= rule.score_step
                or _regraded(user, now, rule, results, k)
                or _warned(user, now, watches, levels, results, k)
                or _collected(features, i, user, collections, results, k)
                or _limited(features, i, user, now, rule, results, k)
            )
            if found[i] != 0:
                for j in range(len(results)):
                    kept[through, j] = results[j, k]
                through += 1
    counts[0], counts[1] = through, in_doubt


@part
def _regraded(user: Any, now: int, rule: Any, results: Any, at: int) -> bool:
    """Whether the grade may move."""
    entered = A
    if results[rule.enter_c, at] != 0.0:
        entered = C
    elif results[rule.enter_b, at] != 0.0:
        entered = B
    if user.grade == 0 or entered > user.grade:
        return True
    if now - signed(user.grade_changed) < rule.hold:
        return False
    if user.grade == C:
        return bool(results[rule.leave_c, at] != 0.0 and results[rule.enter_c, at] == 0.0)
    return bool(user.grade == B and results[rule.leave_b, at] != 0.0 and results[rule.enter_b, at] == 0.0)


@part
def _warned(user: Any, now: int, watches: Any, levels: Any, results: Any, at: int) -> bool:
    """Whether a warning may be raised, escalated or cleared, or one that is open freezes the limit."""
    for k in range(len(watches)):
        watch = watches[k]
        severity, rank = user.warning_severity[watch.slot], 0
        for j in range(watch.first, watch.last):
            if results[levels[j].result, at] != 0.0:
                rank = levels[j].rank
        if rank > severity:
            return True
        if severity > 0:
            waited = now - signed(user.warning_since[watch.slot]) >= watch.cooldown
            if rank == 0 and waited and (watch.clear < 0 or results[watch.clear, at] != 0.0):
                return True
            if watch.freezes[severity] != 0 and user.frozen == OPEN and user.limit_version > 0:
                return True
    return False


@part
def _collected(features: Any, i: int, user: Any, collections: Any, results: Any, at: int) -> bool:
    """Whether the step of collection may move."""
    days, overdue, reached = features[i, _DAYS], features[i, _OVERDUE], 0
    if days - days != 0.0 or overdue - overdue != 0.0:
        return True
    for k in range(len(collections)):
        step = collections[k]
        if days >= step.from_days and (step.when < 0 or results[step.when, at] != 0.0):
            reached = k + 1
    if days <= 0.0 and overdue <= 0.0:
        return bool(user.collection_step != 0)
    return bool(reached > user.collection_step)


@part
def _limited(features: Any, i: int, user: Any, now: int, rule: Any, results: Any, at: int) -> bool:
    """Whether the limit may be restored or raised."""
    if user.limit_version == 0:
        return False
    since = now - signed(user.limit_changed)
    if user.frozen == FROZEN:
        return bool(results[rule.restore_when, at] != 0.0 and since >= rule.restore_cooldown)
    if user.frozen != OPEN or results[rule.raise_when, at] == 0.0 or since < rule.raise_cooldown:
        return False
    if not (features[i, _AUTOMATION] > 0.0 and features[i, _INCREASES] > 0.0):
        return False
    capacity = max(results[rule.ability_to_pay, at], 0.0)
    raised = raised_to(user.limit, rule.raise_share, capacity, rule.cap, rule.round_to)
    return bool(raised >= user.limit + rule.smallest_raise)
