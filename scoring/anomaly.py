"""How unusual an event's spending is for its user: a fixed combination of deviations from the user's own history."""

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX

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


def spending_anomaly(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Anomaly f8[m] in 0 to 1 of feature rows f8[m, features.catalogue.WIDTH].

    A user without history gets 0.5: unknown is not usual. With n purchases the deviations count n / (n + 5), the
    unknown the rest. Rows that are no purchase are judged by what their user's windows show.
    """
    log_odds = np.full(len(features), BASE_LOG_ODDS)
    for name, start, most, weight in _WEIGHTS:
        log_odds += weight * _clipped(_column(features, name) - start, most)
    for name, start, most, weight in _RATIOS:
        log_odds += weight * _clipped(np.log(np.maximum(_column(features, name), 1e-6)) - start, most)
    # The purchase judged does not count as its own history.
    known = np.maximum(_column(features, "purchases_total") - _column(features, "event_is_purchase"), 0.0)
    log_odds *= known / (known + HALF_KNOWN)
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def _column(features: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    # Contiguous, so that numpy runs the same loop whatever the number of rows.
    return np.ascontiguousarray(features[:, INDEX[name]])


def _clipped(deviation: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    return np.minimum(np.maximum(deviation, 0.0), most)
