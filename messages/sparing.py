"""What numba is spared while it translates kernels: to work the same out again, and to plan what nobody does.

It types a call by trying every definition of what is called, each time it comes by, and it comes by several times. It
also plans when each variable dies, after every pass, for the sake of reference counts, which kernels have none of.
Nothing of this changes what a function means.
"""

# mypy: disable-error-code="method-assign, no-untyped-call"

from functools import cache
from typing import Any

from numba import types
from numba.core import base
from numba.core.postproc import PostProcessor
from numba.core.targetconfig import TargetConfig
from numba.core.transforms import canonicalize_cfg
from numba.core.types.functions import BaseFunction


def spare_numba() -> None:
    """Change numba, which is this process's alone, for good."""
    BaseFunction.get_call_type = _remembered(BaseFunction.get_call_type)
    PostProcessor.run = _without_lifetimes
    # One set of flags compiles everything, but for a few values: what is set tells enough of it to look it up.
    TargetConfig.__hash__ = lambda flags: hash(tuple(sorted(flags._values)))
    types.Record.__repr__ = cache(types.Record.__repr__)
    base.BaseContext.get_abi_sizeof = cache(base.BaseContext.get_abi_sizeof)
    base._has_loc = cache(base._has_loc)


def _remembered(resolve: Any) -> Any:
    """`resolve`, which finds the signature that a function has for arguments of given types, or raises TypingError."""
    known: dict[Any, Any] = {}

    def get_call_type(function: Any, context: Any, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        key = function, args, tuple(kws.items())
        if key not in known:
            known[key] = resolve(function, context, args, kws)
        return known[key]

    return get_call_type


def _without_lifetimes(self: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
    self.func_ir.blocks = canonicalize_cfg(self.func_ir.blocks)
    self.func_ir.generator_info = None
