"""The regions' economy as the kernels see it: one index per region."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from messages.hashing import stable_hash
from messages.inputs import MarketIndicator

#: An indicator's value / normal counts within these bounds, so that one figure cannot drown the others.
RATIO_BOUNDS = (0.0, 10.0)


@dataclass(frozen=True)
class Market:
    """The newest figure of every region's indicators; a region's index is the mean of value / normal, 1 without any.

    `figures` maps (region, indicator) to (time in ms, value, normal).
    """

    figures: Mapping[tuple[str, str], tuple[int, float, float]] = field(default_factory=dict)

    def with_indicator(self, event: MarketIndicator) -> "Market":
        """This market with one more figure; the newest counts, of equally new ones the greater: any order will do."""
        key = (event.region, event.indicator)
        figure = (event.time, float(event.value), float(event.normal))
        if key in self.figures and self.figures[key] >= figure:
            return self
        return Market({**self.figures, key: figure})

    def index_of(self, region: str) -> float:
        """Mean of value / normal over the indicators known of `region`; 1.0 where none is known."""
        return self.indices.get(region, 1.0)

    @cached_property
    def version(self) -> str:
        """Hash of the content, 12 hex digits; equal markets have equal versions."""
        content = repr(sorted(self.figures.items())).encode()
        return blake2b(content, digest_size=6).hexdigest()

    @cached_property
    def indices(self) -> dict[str, float]:
        """Index by region."""
        ratios: dict[str, list[float]] = {}
        for (region, _), (_, value, normal) in sorted(self.figures.items()):
            # Not a plain quotient: a tiny `normal` could make it infinite.
            ratio = RATIO_BOUNDS[1] if value >= RATIO_BOUNDS[1] * normal else max(RATIO_BOUNDS[0], value / normal)
            ratios.setdefault(region, []).append(ratio)
        return {region: sum(of_region) / len(of_region) for region, of_region in ratios.items()}

    @cached_property
    def arrays(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """For the kernels: hashes of the regions (u8[r], ascending) and their indices (f8[r])."""
        known = sorted((stable_hash(region), index) for region, index in self.indices.items())
        hashes = np.array([region for region, _ in known], np.uint64)
        return hashes, np.array([index for _, index in known], np.float64)
