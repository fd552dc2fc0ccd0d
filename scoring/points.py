"""Points of the scorecard's lines and what follows from them, worked out row by row in one compiled loop.

A row's bits depend on nothing but the row, and `exp` and `log` are the C library's for every number of rows.
"""

import math
from enum import IntEnum, IntFlag
from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled, part
from scoring.bounds import larger, smaller, within
from scoring.inputs import INPUTS

#: The limit, in minor units of the book's currency, that neither adds nor takes points (30,000 of a yuan book).
REFERENCE_LIMIT = 3_000_000.0
#: Log-odds beyond this count as this, so that a probability is strictly between 0 and 1.
MOST_LOG_ODDS = 30.0

#: Inputs of a model with a name for every column, in the order of `scoring.inputs.INPUTS`.
INPUT_ROW = np.dtype([(name, "f8") for name in INPUTS])
#: A line: the input in `column`, or what `value` (a Value) makes of several; its knots are those from `first` up to
#: `last`; nothing where one of `unless` (an Unless) is true.
LINE = np.dtype([("column", "i4"), ("value", "i4"), ("unless", "i4"), ("first", "i4"), ("last", "i4")], align=True)
KNOT = np.dtype([("value", "f8"), ("points", "f8")])
#: An input of the learned model in `column`, clipped to `low` and `high`; -1 is the scorecard's log-odds, as they are.
REGRESSOR = np.dtype(
    [("column", "i4"), ("low", "f8"), ("high", "f8"), ("mean", "f8"), ("scale", "f8"), ("weight", "f8")], align=True
)


class Value(IntEnum):
    """What a line judges."""

    OWN = 0  # its input
    SILENT_DAYS = 1  # days past due, as far as nothing came in meanwhile
    REPAID_SHARE = 2  # repaid in 90 days, as a share of the limit
    UTILISATION = 3  # owed, as a share of the limit
    LIMIT_LOG = 4  # natural logarithm of the limit in reference limits
    FUND_TROUBLE = 5  # 1 where the provident fund is interrupted, withdrawn or closed
    MARKET_LOG = 6  # natural logarithm of the market's index


class Unless(IntFlag):
    """When a line is worth nothing."""

    NEVER = 0
    UNJUDGED = 1  # no bill has been judged
    NO_LIMIT = 2


_SILENT_DAYS, _REPAID_SHARE, _UTILISATION, _LIMIT_LOG, _FUND_TROUBLE = map(int, list(Value)[1:6])
_OWN, _UNJUDGED, _NO_LIMIT = int(Value.OWN), int(Unless.UNJUDGED), int(Unless.NO_LIMIT)

_Matrix = Annotated[Any, Rows(np.float64, 2)]
_Inputs = Annotated[Any, Rows(INPUT_ROW)]
_Lines = Annotated[Any, Rows(LINE)]
_Knots = Annotated[Any, Rows(KNOT)]
_Regressors = Annotated[Any, Rows(REGRESSOR)]
_Numbers = Annotated[Any, Rows(np.float64)]


@compiled
def points_of(matrix: _Matrix, named: _Inputs, lines: _Lines, knots: _Knots, points: _Matrix) -> None:
    """Fill f8[m, lines]: what each line is worth in the rows of `matrix`, which `named` shows with names."""
    for i in range(len(named)):
        for k in range(len(lines)):
            points[i, k] = _worth(matrix, i, named[i], lines[k], knots)


@compiled
def log_odds_of(
    matrix: _Matrix, named: _Inputs, lines: _Lines, knots: _Knots, base: _Numbers, log_odds: _Numbers
) -> None:
    """Fill f8[m]: `base[0]` and the points of all lines, added in their order."""
    for i in range(len(named)):
        total = base[0]
        for k in range(len(lines)):
            total += _worth(matrix, i, named[i], lines[k], knots)
        log_odds[i] = total


@compiled
def combine(matrix: _Matrix, regressors: _Regressors, intercept: _Numbers, log_odds: _Numbers) -> None:
    """Make the scorecard's log-odds f8[m] those of the learned model, in place."""
    for i in range(len(log_odds)):
        total = 0.0
        for k in range(len(regressors)):
            total += _weighed(matrix, i, regressors[k], log_odds[i])
        log_odds[i] = total + intercept[0]


@compiled
def weighed_of(matrix: _Matrix, regressors: _Regressors, log_odds: _Numbers, parts: _Matrix) -> None:
    """Fill f8[m, regressors]: what each adds to the learned model's log-odds; `log_odds` are the scorecard's."""
    for i in range(len(log_odds)):
        for k in range(len(regressors)):
            parts[i, k] = _weighed(matrix, i, regressors[k], log_odds[i])


@compiled
def probability_of(log_odds: _Numbers, probability: _Numbers) -> None:
    """Fill f8[m]: 1 / (1 + exp(-x)), strictly between 0 and 1; no number where x is none."""
    for i in range(len(log_odds)):
        probability[i] = 1.0 / (1.0 + math.exp(-within(log_odds[i], -MOST_LOG_ODDS, MOST_LOG_ODDS)))


@part
def _weighed(matrix: Any, i: int, one: Any, log_odds: float) -> float:
    """What a regressor adds in the i-th row; a scale of 0 leaves it out."""
    if one.scale == 0.0:
        return 0.0
    x = log_odds if one.column < 0 else within(matrix[i, one.column], one.low, one.high)
    return float(one.weight * ((x - one.mean) / one.scale))


@part
def _worth(matrix: Any, i: int, f: Any, line: Any, knots: Any) -> float:
    """What a line is worth in row `f`, the i-th of the matrix: linear between its knots, constant beyond them."""
    limit = larger(f.limit, f.starting_limit)
    if (line.unless & _UNJUDGED) != 0 and f.judged_bills == 0.0:
        return 0.0
    if (line.unless & _NO_LIMIT) != 0 and limit <= 0.0:
        return 0.0
    x = matrix[i, line.column] if line.value == _OWN else _judged(line.value, f, limit)
    at, last = line.first, line.last - 1
    if x >= knots[last].value:
        return float(knots[last].points)
    if x < knots[at].value:
        return float(knots[at].points)
    while at + 1 < last and x >= knots[at + 1].value:
        at += 1
    low, high = knots[at], knots[at + 1]
    return float((high.points - low.points) / (high.value - low.value) * (x - low.value) + low.points)


@part
def _judged(value: int, f: Any, limit: float) -> float:
    if value == _SILENT_DAYS:
        return float(smaller(f.days_past_due, f.days_since_repayment))
    if value == _REPAID_SHARE:
        return float(f.repaid_90d / larger(limit, 1.0))
    if value == _UTILISATION:
        if limit > 0.0:
            return float(f.owed / larger(limit, 1.0))
        return 1.0 if f.owed > 0.0 else 0.0  # without a limit whatever is owed counts as all of it
    if value == _LIMIT_LOG:
        return math.log(larger(limit, 1.0) / REFERENCE_LIMIT)
    if value == _FUND_TROUBLE:
        return 1.0 if f.fund_status == 1.0 or f.fund_status == 2.0 or f.fund_status == 4.0 else 0.0
    return math.log(larger(f.market_index, 1e-3))
