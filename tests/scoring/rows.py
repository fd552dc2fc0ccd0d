"""Rows of features for the scoring tests."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURES, INDEX, WIDTH
from scoring.inputs import INPUTS

#: An account in good order: four bills repaid early and in full.
GOOD = {
    "judged_bills": 4,
    "last_bill_late_days": -8,
    "days_since_repayment": 12,
    "repaid_90d": 900_000,
    "days_since_purchase": 3,
    "owed": 300_000,
    "limit": 3_000_000,
    "starting_limit": 3_000_000,
    "limit_known": 1,
    "fund_status": 0,
    "account_age_days": 400,
    "market_index": 1,
}


def row(values: Mapping[str, float] = {}) -> NDArray[np.float64]:
    """One row f8[1, WIDTH]: the catalogue's defaults, changed by `values`."""
    features = np.array([[feature.default for feature in FEATURES]])
    for name, value in values.items():
        features[0, INDEX[name]] = value
    return features


def random_rows(count: int, seed: int) -> NDArray[np.float64]:
    """Rows f8[count, WIDTH] of wildly different sizes, none of them like a real account."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, WIDTH)) * np.exp(rng.normal(0, 4, WIDTH))
    rows[:, [INDEX[name] for name in ("owed", "limit", "starting_limit", "repaid_90d")]] = np.exp(
        rng.normal(13, 3, (count, 4))
    )
    return rows


def inputs_of(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns of `INPUTS`."""
    return features[:, [INDEX[name] for name in INPUTS]]
