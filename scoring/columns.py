"""Columns out of the feature matrix, which is laid out by rows."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

#: Up to so many rows one call that copies number by number takes less than a call for each column.
_FEW_ROWS = 256


def transposed(matrix: NDArray[np.float64], columns: Sequence[int]) -> NDArray[np.float64]:
    """f8[k, m], contiguous: k columns of f8[m, width] as rows.

    Contiguous columns let numpy run one and the same loop whatever the number of rows.
    """
    if len(matrix) <= _FEW_ROWS:
        return np.ascontiguousarray(matrix.T[columns])
    block = np.empty((len(columns), len(matrix)))
    # By their place in the matrix: neighbours come from memory together.
    for column, values in sorted(zip(columns, block, strict=True), key=itemgetter(0)):
        values[:] = matrix[:, column]
    return block
