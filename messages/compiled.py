"""The decorators of kernels: numba in nopython mode, cached on disk, typed as the plain function.

Numba validates a cached function by its own file alone, but a kernel also contains the functions that it calls and the
layouts that it is made for. So the cache of a package lives in a directory named by the content of all sources that its
kernels are made of: any change there starts a new cache, and a stale one cannot be used.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from inspect import getfile
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

#: Without reference counts (`_nrt`): a kernel allocates nothing, and its caller holds all arrays. Counting them in
#: every function would take half of the time. Without the GIL: a worker fetches meanwhile, in another thread.
_COMMON: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True, "nogil": True}
_PART: dict[str, Any] = {**_COMMON, "no_cpython_wrapper": True}
_SETTINGS: Any = numba.config
_HERE = Path(__file__).resolve().parent


def source_hash(package: Path) -> str:
    """Names the sources of `package`, and the layouts and settings that all kernels share."""
    digest = blake2b(digest_size=8)
    shared = {_HERE / "columns.py", _HERE / "compiled.py", _HERE / "vocabulary.py"}
    for source in sorted(shared | set(package.glob("*.py"))):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def _cache_directory(package: Path) -> Path | None:
    """Where compiled code is kept: NUMBA_CACHE_DIR, else beside the sources, else in the home; None: nowhere."""
    name = f"kernels-{source_hash(package)}"
    places = [Path(_SETTINGS.CACHE_DIR)] if _SETTINGS.CACHE_DIR else [package / "__pycache__"]
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


def part(function: Kernel) -> Kernel:
    """`function` as a part of kernels: only they call it, so it has no way in from Python and no cache of its own."""
    return cast(Kernel, numba.njit(**_PART)(function))


def inlined(function: Kernel) -> Kernel:
    """A part whose code becomes its callers': small, or called where every call counts."""
    return cast(Kernel, numba.njit(forceinline=True, **_PART)(function))


def compiled(function: Kernel) -> Kernel:
    """`function`, compiled at its first call and loaded from disk afterwards; `.py_func` is the uncompiled one.

    Divisions follow numpy (no exception on zero): kernels guard them, because features are never NaN or infinite.
    """
    directory, before = _cache_directory(Path(getfile(function)).resolve().parent), _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = str(directory) if directory else before
    try:
        return cast(Kernel, numba.njit(cache=directory is not None, **_COMMON)(function))
    finally:
        _SETTINGS.CACHE_DIR = before
