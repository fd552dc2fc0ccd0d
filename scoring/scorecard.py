"""The expert scorecard: points in log-odds for what lenders have long known to matter, fitted to no data set.

It decides until a learned model has proved itself, and is that model's most important input afterwards. Three rules
shaped it:

* What counts is whether money came. A bill of which nothing at all was paid by its due date weighs much; one that was
  paid in part, below its minimum, weighs little: minimum rules differ between lenders, silence does not.
* The unknown is not safe. No judged bill, no known limit, a young account each cost points.
* Our own decisions do not feed on themselves: what counts is the greater of the limit now and the first one, so that a
  cut does not make the client look worse, and the next cut likelier.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX
from scoring.inputs import INPUTS, POSITIONS, SCHEMA_HASH
from scoring.points import INPUT_ROW, KNOT, LINE, Unless, Value, log_odds_of, points_of, probability_of

#: Log-odds of an established account without any other point: a chance of 4.7 %.
BASE_LOG_ODDS = -3.0


@dataclass(frozen=True)
class Characteristic:
    """One line of the scorecard. Between the given (value, points) the points are linear, beyond them constant.

    `feature` is what a reason names; `value` says what is judged; where `unless` is true the line is worth nothing.
    """

    feature: str
    points: tuple[tuple[float, float], ...]
    why: str
    value: Value = Value.OWN
    unless: Unless = Unless.NEVER


CHARACTERISTICS: tuple[Characteristic, ...] = (
    Characteristic(
        "missed_bills_recent",
        ((0, 0), (1, 1.3), (2, 2.0), (2.5, 2.3)),
        "Bills of which nothing was paid in time are the strongest sign there is; the newest weigh most.",
    ),
    Characteristic(
        "last_bill_late_days",
        ((-3, -0.1), (0, 0.1), (3, 0.4), (10, 0.7)),
        "Paying on the last day, or some days late, shows that money is getting tight.",
        unless=Unless.UNJUDGED,
    ),
    Characteristic(
        "days_past_due",
        ((0, 0), (30, 0.2), (60, 0.8), (90, 2.0)),
        "Days past due, as far as nothing came in meanwhile: who is silent for two months rarely comes back.",
        value=Value.SILENT_DAYS,
    ),
    Characteristic(
        "judged_bills",
        ((0, 0.7), (1, 0)),
        "Nothing is known yet about how the user repays: new accounts default more often than old ones.",
    ),
    Characteristic(
        "repaid_90d",
        ((0, 0.4), (0.02, 0.2), (0.1, 0), (0.5, -0.4)),
        "What was repaid in 90 days as a share of the limit: large repayments prove the ability to pay.",
        value=Value.REPAID_SHARE,
        unless=Unless.UNJUDGED | Unless.NO_LIMIT,
    ),
    Characteristic(
        "days_since_purchase",
        ((15, 0), (60, 0.4)),
        "Who stopped buying often cannot buy any more, or has turned to other credit.",
    ),
    Characteristic(
        "owed",
        ((0, 0.3), (1, 0)),
        "An account that nothing is owed on tells nothing: whether its user repays is not seen.",
    ),
    Characteristic(
        "failed_debits_90d",
        ((0, 0), (1, 0.4), (3, 1.0)),
        "A refused debit is an empty account on the day that counted.",
    ),
    Characteristic(
        "utilisation",
        ((0.3, 0), (0.9, 0.2), (1, 0.4), (1.2, 0.7)),
        "Who uses the whole limit has no reserve left.",
        value=Value.UTILISATION,
    ),
    Characteristic(
        "limit",
        ((-2, 0.6), (2, -0.6)),
        "A high limit was granted on what the lender knew of income and record: 0.3 less per factor of e.",
        value=Value.LIMIT_LOG,
        unless=Unless.NO_LIMIT,
    ),
    Characteristic("limit_known", ((0, 0.3), (1, 0)), "An account without a known limit was judged by nobody."),
    Characteristic(
        "debt_to_income",
        ((4, 0), (12, 0.4)),
        "Beyond a few monthly incomes, debt is hard to repay from income.",
    ),
    Characteristic(
        "fund_status",
        ((0, 0), (1, 0.4)),
        "Provident fund interrupted, withdrawn or closed: the job, and with it the income, may be gone.",
        value=Value.FUND_TROUBLE,
    ),
    Characteristic(
        "cash_like_share_90d",
        ((0.2, 0), (0.7, 0.5)),
        "Buying what turns into cash at once is borrowing elsewhere by other means.",
    ),
    Characteristic("gambling_share_90d", ((0.05, 0), (0.4, 0.5)), "Gambling on credit."),
    Characteristic("account_age_days", ((0, 0.3), (180, 0)), "Early months of an account default most."),
    Characteristic(
        "market_index",
        ((-0.4, -0.2), (0, 0), (0.7, 0.5)),
        "Unemployment and delinquency above their long-run level raise everybody's risk.",
        value=Value.MARKET_LOG,
    ),
)


def log_odds(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds f8[m] of rows f8[m, len(INPUTS)] in the order of `scoring.inputs.INPUTS`."""
    matrix, found = np.ascontiguousarray(inputs, np.float64), np.empty(len(inputs))
    log_odds_of(matrix, _named(matrix), _LINES, _KNOTS, _BASE, found)
    return found


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The expert scorecard as a model; it is what decides while a learned one is `warming`."""

    name: str = "scorecard"
    version: str = "scorecard-1"
    warming: bool = True
    inputs: tuple[str, ...] = INPUTS
    schema_hash: int = SCHEMA_HASH

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities f8[m] of feature rows f8[m, WIDTH]."""
        return sigmoid(log_odds(inputs_of(features)))

    def weigh(self, features: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of the characteristics' features, and their points f8[m, k] for feature rows f8[m, WIDTH]."""
        matrix, points = inputs_of(features), np.empty((len(features), len(_LINES)))
        points_of(matrix, _named(matrix), _LINES, _KNOTS, points)
        return _FEATURES, points

    def contributions(self, row: NDArray[np.float64]) -> list[tuple[str, float]]:
        """What each characteristic adds to the log-odds of one row f8[WIDTH], riskiest first, without zeros."""
        names, weights = self.weigh(row[None])
        named = [(name, weight) for name, weight in zip(names, weights[0].tolist(), strict=True) if weight]
        return sorted(named, key=lambda pair: -pair[1])


def inputs_of(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inputs f8[m, len(INPUTS)] of feature rows f8[m, WIDTH]."""
    return features.take(_COLUMNS, axis=1)


def sigmoid(log_odds_: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), with x within -30 to 30 so that the result is strictly between 0 and 1."""
    probability = np.empty(len(log_odds_))
    probability_of(log_odds_, probability)
    return probability


def _named(matrix: NDArray[np.float64]) -> NDArray[np.void]:
    """The matrix f8[m, len(INPUTS)] seen as INPUT_ROW[m], without a copy."""
    return matrix.view(INPUT_ROW)[:, 0]


def _made_ready() -> tuple[NDArray[np.void], NDArray[np.void]]:
    """LINE[n] and KNOT[all of them]."""
    lines, knots = list[tuple[int, ...]](), list[tuple[float, float]]()
    for line in CHARACTERISTICS:
        first = len(knots)
        knots += line.points
        column = POSITIONS[line.feature] if line.value is Value.OWN else -1
        lines.append((column, int(line.value), int(line.unless), first, len(knots)))
    return np.array(lines, LINE), np.array(knots, KNOT)


_LINES, _KNOTS = _made_ready()
_BASE = np.array([BASE_LOG_ODDS])
_COLUMNS = np.array([INDEX[name] for name in INPUTS])
_FEATURES = tuple(line.feature for line in CHARACTERISTICS)
