"""A kernel that cannot be one."""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled


@compiled
def check(numbers: Annotated[Any, Rows(np.int64)]) -> None:
    if len(numbers) == 0:
        raise ValueError("no numbers")
