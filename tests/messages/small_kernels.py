"""Kernels that take a second to compile, for tests of how kernels are compiled."""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled, part, signed
from tests.messages.small_parts import PAIR, swap


@part
def weight(pair: Any, factor: int) -> int:
    return signed(pair.first) * factor + signed(pair.second)


@compiled
def total(pairs: Annotated[Any, Rows(PAIR)], factor: int, sums: Annotated[Any, Rows(np.int64, 2)]) -> int:
    result = signed(0)
    for i in range(len(pairs)):
        result += weight(pairs[i], factor)
        sums[i, 1] = result
    return result


@compiled
def turn_round(pairs: Annotated[Any, Rows(PAIR)]) -> None:
    for i in range(len(pairs)):
        swap(pairs[i], i)
