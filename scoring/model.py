"""What the rest of the product asks of a model of default."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Model(Protocol):
    """Chance of going past due by the policy's default days within its horizon, for rows of features.

    A row's probability has the same bits whatever other rows are scored with it.
    """

    @property
    def name(self) -> str:
        """What kind of model this is."""

    @property
    def version(self) -> str:
        """Names this very model; every decision carries it."""

    @property
    def warming(self) -> bool:
        """True while too few labels have been learned, and the expert scorecard decides."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the features that make a training example, at most MODEL_INPUTS_MAX."""

    @property
    def schema_hash(self) -> int:
        """32-bit hash of `inputs`, never 0: an example of other inputs is not learned from."""

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities f8[m], strictly between 0 and 1, of feature rows f8[m, features.catalogue.WIDTH]."""

    def weigh(self, features: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Names of k features, and what each adds to the log-odds of feature rows f8[m, WIDTH]: f8[m, k]."""

    def contributions(self, row: NDArray[np.float64]) -> list[tuple[str, float]]:
        """Feature names with what they add to the log-odds of one row f8[WIDTH], riskiest first, without zeros."""
