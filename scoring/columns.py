"""Columns out of the feature matrix, which is laid out by rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Rows copied at a time: as much of the matrix as a core's cache holds.
_ROWS = 512


def transposed(matrix: NDArray[np.float64], columns: Sequence[int]) -> NDArray[np.float64]:
    """f8[k, m], contiguous: k columns of f8[m, width] as rows.

    Read in blocks, the matrix comes from memory once and not once for each column. Contiguous columns also let numpy
    run one and the same loop whatever the number of rows.
    """
    block = np.empty((len(columns), len(matrix)))
    for start in range(0, len(matrix), _ROWS):
        block[:, start : start + _ROWS] = matrix[start : start + _ROWS].T[columns]
    return block
