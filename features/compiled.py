"""The decorators of kernels: numba in nopython mode, cached on disk, typed as the plain function.

Numba validates a cached function by its own file alone, but a kernel also contains the functions that it calls and the
layouts that it is made for. So the cache lives in a directory named by the content of all sources that kernels are made
of: any change there starts a new cache, and a stale one cannot be used.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

if TYPE_CHECKING:

    def signed(number: Any) -> int:
        """A field of a record as a signed 64-bit integer: unsigned ones must not meet subtraction."""
        ...
else:
    signed = np.int64

_PART: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_SETTINGS: Any = numba.config
_HERE = Path(__file__).resolve().parent


def _source_hash() -> str:
    digest = blake2b(digest_size=8)
    messages = _HERE.parent / "messages"
    for source in (*sorted(_HERE.glob("*.py")), messages / "columns.py", messages / "vocabulary.py"):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _cache_directory() -> Path | None:
    """Where compiled code is kept: NUMBA_CACHE_DIR, else beside the sources, else in the home; None: nowhere."""
    name = f"kernels-{_source_hash()}"
    places = [Path(_SETTINGS.CACHE_DIR)] if _SETTINGS.CACHE_DIR else [_HERE / "__pycache__"]
    with suppress(RuntimeError):  # no home directory
        places.append(Path.home() / ".cache" / "duewatch")
    for place in places:
        try:
            (place / name).mkdir(parents=True, exist_ok=True)
            probe = place / name / "writable"
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError:
            continue
        return place / name
    return None


_CACHE = _cache_directory()


def part(function: Kernel) -> Kernel:
    """`function` as a part of kernels: only they call it, so it has no way in from Python and no cache of its own."""
    return cast(Kernel, numba.njit(**_PART)(function))


def compiled(function: Kernel) -> Kernel:
    """`function`, compiled at its first call and loaded from disk afterwards; `.py_func` is the uncompiled one.

    Divisions follow numpy (no exception on zero): kernels guard them, because features are never NaN or infinite.
    """
    before = _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = str(_CACHE) if _CACHE else before
    try:
        return cast(Kernel, numba.njit(cache=_CACHE is not None, error_model="numpy")(function))
    finally:
        _SETTINGS.CACHE_DIR = before
