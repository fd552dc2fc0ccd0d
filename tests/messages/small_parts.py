"""What the small kernels have in common, compiled on its own."""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Row, joint

PAIR = np.dtype([("first", "u2"), ("second", "u4")])


@joint
def swap(pair: Annotated[Any, Row(PAIR)], more: int) -> None:
    """Exchange the two, and add `more` to the first."""
    first = pair.first
    pair.first = pair.second + more
    pair.second = first
