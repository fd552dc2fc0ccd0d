import numpy as np
import pytest

from scoring.columns import transposed


@pytest.mark.parametrize("rows", [0, 1, 256, 257, 3_000])
def test_columns_are_taken_out_of_the_matrix_in_the_order_asked_for(rows: int) -> None:
    matrix = np.random.default_rng(1).random((rows, 12))
    block = transposed(matrix, [7, 0, 11, 7])
    assert block.flags.c_contiguous
    assert block.tobytes() == np.ascontiguousarray(matrix[:, [7, 0, 11, 7]].T).tobytes()
