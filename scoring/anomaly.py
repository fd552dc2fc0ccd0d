"""How unusual an event's spending is for its user: a fixed combination of deviations from the user's own history."""

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX, WIDTH
from messages.compiled import Rows, compiled
from scoring.bounds import larger, within

#: Log-odds of an event that deviates in nothing, and what each unit of a (clipped, one-sided) deviation adds.
BASE_LOG_ODDS = -3.0
_WEIGHTS: tuple[tuple[str, float, float, float], ...] = (
    # feature, subtracted first, greatest value after that, weight
    ("amount_zscore", 0.5, 5.0, 0.9),
    ("event_new_merchant", 0.0, 1.0, 0.4),
    ("event_new_device", 0.0, 1.0, 0.8),
    ("event_new_city", 0.0, 1.0, 0.6),
    ("event_is_night", 0.0, 1.0, 0.4),
    ("event_is_cash_like", 0.0, 1.0, 0.5),
)
#: Ratios, judged by their natural logarithm.
_RATIOS: tuple[tuple[str, float, float, float], ...] = (
    ("amount_to_mean", 0.7, 3.0, 0.8),
    ("count_velocity_1h", 1.4, 2.0, 0.5),
    ("spend_velocity_24h", 1.1, 2.5, 0.6),
)
#: Purchases after which the own history counts as much as not knowing.
HALF_KNOWN = 5.0

_DEVIATION = np.dtype(
    [("column", "i4"), ("is_ratio", "i4"), ("start", "f8"), ("most", "f8"), ("weight", "f8")], align=True
)
_DEVIATIONS = np.array(
    [(INDEX[name], is_ratio, *rest) for is_ratio, lines in enumerate((_WEIGHTS, _RATIOS)) for name, *rest in lines],
    _DEVIATION,
)
_PURCHASES, _IS_PURCHASE = INDEX["purchases_total"], INDEX["event_is_purchase"]


def spending_anomaly(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Anomaly f8[m] in 0 to 1 of feature rows f8[m, features.catalogue.WIDTH], which are contiguous.

    A user without history gets 0.5: unknown is not usual. With n purchases the deviations count n / (n + 5), the
    unknown the rest. Rows that are no purchase are judged by what their user's windows show. Raises ValueError for rows
    of another width.
    """
    if features.shape[1] != WIDTH:
        raise ValueError(f"expected rows of {WIDTH} features, got {features.shape[1]}")
    found = np.empty(len(features))
    _anomaly(features, _DEVIATIONS, found)
    return found


@compiled
def _anomaly(
    features: Annotated[Any, Rows(np.float64, 2)],
    deviations: Annotated[Any, Rows(_DEVIATION)],
    found: Annotated[Any, Rows(np.float64)],
) -> None:
    for i in range(len(found)):
        log_odds = BASE_LOG_ODDS
        for k in range(len(deviations)):
            one = deviations[k]
            x = features[i, one.column]
            if one.is_ratio != 0:
                x = math.log(larger(x, 1e-6))
            log_odds += one.weight * within(x - one.start, 0.0, one.most)
        # The purchase judged does not count as its own history.
        known = larger(features[i, _PURCHASES] - features[i, _IS_PURCHASE], 0.0)
        found[i] = 1.0 / (1.0 + math.exp(-(log_odds * (known / (known + HALF_KNOWN)))))
