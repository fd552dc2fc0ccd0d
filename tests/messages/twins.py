"""Kernels as plain Python: what the compiled ones are held against."""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any


@cache
def uncompiled(kernel: Any) -> Callable[..., Any]:
    """The kernel's function, in which all parts are uncompiled as well.

    Structured arrays have to be record arrays for it, and sums of unsigned integers overflow with a warning.
    """
    function: FunctionType = kernel.py_func
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if hasattr(scope.get(name), "py_func"):
            scope[name] = uncompiled(scope[name])
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
