"""Kernels as plain Python: what the compiled ones are held against."""

from collections.abc import Callable
from typing import Any


def uncompiled(kernel: Any) -> Callable[..., Any]:
    """The kernel's function.

    Structured arrays have to be record arrays for it, and sums of unsigned integers overflow with a warning.
    """
    function: Callable[..., Any] = kernel.function
    return function
