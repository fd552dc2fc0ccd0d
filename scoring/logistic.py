"""The learned model, compiled: a River pipeline of scaler and logistic regression as arrays, for a batch at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scoring.inputs import INPUTS, LEARNED, POSITIONS, SCHEMA_HASH
from scoring.points import REGRESSOR, combine, weighed_of
from scoring.scorecard import Scorecard, inputs_of, log_odds, sigmoid

#: What the pipeline sees, in this order: the scorecard's log-odds, then the learned features, clipped.
REGRESSORS: tuple[str, ...] = ("scorecard", *LEARNED)


class OtherSchema(ValueError):
    """Parameters that were learned from other inputs than this version's."""


def regressors(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pipeline's columns f8[len(REGRESSORS), m] of rows f8[m, len(INPUTS)]."""
    learned = [np.clip(inputs[:, POSITIONS[name]], low, high) for name, (low, high) in LEARNED.items()]
    return np.stack([log_odds(inputs), *learned])


@dataclass(frozen=True, slots=True)
class Logistic:
    """Scaler and logistic regression: log-odds = intercept + sum of weight * (x - mean) / scale over `REGRESSORS`.

    A scale of 0 leaves its regressor out, as River's StandardScaler does.
    """

    version: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    intercept: float
    warming: bool = False
    name: str = "scorecard-logistic"
    inputs: tuple[str, ...] = INPUTS
    schema_hash: int = SCHEMA_HASH

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.scale) == len(self.weight) == len(REGRESSORS):
            raise OtherSchema(f"expected {len(REGRESSORS)} means, scales and weights")
        if not np.isfinite([*self.mean, *self.scale, *self.weight, self.intercept]).all():
            raise ValueError("a parameter is not a finite number")

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities f8[m] of feature rows f8[m, WIDTH]."""
        inputs = inputs_of(features)
        found = log_odds(inputs)
        combine(inputs, _made_ready(self.mean, self.scale, self.weight), np.array([self.intercept]), found)
        return sigmoid(found)

    def weigh(self, features: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of k features, and what each adds to the log-odds of rows f8[m, WIDTH], as in `contributions`."""
        lines, points = Scorecard().weigh(features)
        names = tuple(dict.fromkeys([*lines, *REGRESSORS[1:]]))
        weights = np.zeros((len(features), len(names)))
        slope = self.weight[0] / self.scale[0] if self.scale[0] else 0.0
        for name, column in zip(lines, points.T, strict=True):
            weights[:, names.index(name)] += slope * column
        inputs, parts = inputs_of(features), np.empty((len(features), len(REGRESSORS)))
        weighed_of(inputs, _made_ready(self.mean, self.scale, self.weight), log_odds(inputs), parts)
        for name, part in zip(REGRESSORS[1:], parts.T[1:], strict=True):
            weights[:, names.index(name)] += part
        return names, weights

    def contributions(self, row: NDArray[np.float64]) -> list[tuple[str, float]]:
        """What each feature adds to the log-odds of one row f8[WIDTH] against the average account; riskiest first.

        The scorecard's part is told by its own lines, times the weight that it has here.
        """
        names, weights = self.weigh(row[None])
        named = [(name, weight) for name, weight in zip(names, weights[0].tolist(), strict=True) if weight]
        return sorted(named, key=lambda pair: -pair[1])

    def parameters(self) -> dict[str, tuple[float, ...]]:
        """The numbers that make this model, by name: what a snapshot publishes."""
        return {"mean": self.mean, "scale": self.scale, "weight": self.weight, "intercept": (self.intercept,)}

    @classmethod
    def from_parameters(
        cls, version: str, inputs: Sequence[str], parameters: Mapping[str, Sequence[float]]
    ) -> "Logistic":
        """The model of a snapshot. Raises `OtherSchema` when it was learned from other inputs."""
        if tuple(inputs) != INPUTS:
            raise OtherSchema(f"{version}: learned from other inputs than this version of the product has")
        return cls(
            version,
            tuple(parameters["mean"]),
            tuple(parameters["scale"]),
            tuple(parameters["weight"]),
            parameters["intercept"][0],
        )


@lru_cache(maxsize=8)
def _made_ready(mean: tuple[float, ...], scale: tuple[float, ...], weight: tuple[float, ...]) -> NDArray[np.void]:
    """REGRESSOR[len(REGRESSORS)]."""
    places = [(-1, 0.0, 0.0), *((POSITIONS[name], low, high) for name, (low, high) in LEARNED.items())]
    return np.array([(*place, *rest) for place, *rest in zip(places, mean, scale, weight, strict=True)], REGRESSOR)
