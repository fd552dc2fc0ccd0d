"""How kernels are declared: functions over arrays that become machine code, and the parts that they are made of.

A kernel says what it takes by its annotations: an array is `Annotated[Any, Rows(RECORD)]`, a 64-bit integer is `int`.
So it can be compiled before anybody calls it, and what a call hands over is checked once: compiled code checks nothing.
`messages.compiling` makes the machine code, `messages.machine_code` keeps it.
"""

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import DTypeLike

Function = TypeVar("Function", bound=Callable[..., Any])

if TYPE_CHECKING:

    def signed(number: Any) -> int:
        """A field of a record as a signed 64-bit integer: unsigned ones must not meet subtraction."""
        ...
else:
    signed = np.int64


#: Where the head of a numpy array holds the address of its data, and that of the lengths of its axes. numpy documents
#: this for C: after what every Python object begins with come the data, the number of axes, and their lengths.
ARRAY_DATA = object.__basicsize__
ARRAY_LENGTHS = ARRAY_DATA + 16


class Rows:
    """A parameter of a kernel: a C-contiguous array of `dtype` with `axes` axes."""

    def __init__(self, dtype: DTypeLike, axes: int = 1) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.axes = axes

    def check(self, value: Any) -> None:
        """Raises TypeError or ValueError where `value` is another kind of array."""
        if not isinstance(value, np.ndarray) or value.ndim != self.axes or value.dtype != self.dtype:
            raise TypeError(f"a kernel wants {self.axes} axes of {self.dtype}, not {value!r:.200}")
        if not value.flags.c_contiguous:
            raise ValueError("a kernel wants contiguous arrays")


class Row:
    """A parameter of a `joint`: one record of `dtype`, in place."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype


Parameter = Rows | Row | type[int]

#: By module, what is compiled of it: its joints and kernels by symbol.
DECLARED: "dict[str, dict[str, Joint]]" = {}


class Part:
    """A function that is compiled along with every kernel that calls it."""

    def __init__(self, function: Callable[..., Any], *, inlined: bool = False) -> None:
        self.function, self.inlined = function, inlined

    def __call__(self, *arguments: Any) -> Any:
        """Run it as plain Python."""
        return self.function(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of an object that it finds in a function."""
        from messages.compiling import numba_type

        return numba_type(self)


class Joint(Part):
    """A part with machine code of its own, which kernels of other modules jump to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.module = function.__module__
        self.symbol = f"{self.module}.{function.__qualname__}".replace(".", "_")
        DECLARED.setdefault(self.module, {})[self.symbol] = self

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes. Raises TypeError where an annotation does not tell."""
        hints = get_type_hints(self.function, include_extras=True)
        return tuple(_parameter(name, hint) for name, hint in hints.items() if name != "return")

    @cached_property
    def gives(self) -> bool:
        """Whether it returns an integer, or nothing."""
        return get_type_hints(self.function).get("return") is int


class Kernel(Joint):
    """A function that Python calls as machine code, without holding the GIL meanwhile."""

    @cached_property
    def _code(self) -> Callable[..., int]:
        from messages.machine_code import address_of

        return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(self.parameters))(address_of(self))

    def __call__(self, *arguments: Any) -> int | None:
        """Raises TypeError or ValueError where an argument is not as declared; may have to wait for a compiler."""
        words = []
        for rows, argument in zip(self.parameters, arguments, strict=True):
            if not isinstance(rows, Rows):
                words.append(int(argument))
                continue
            # Written out, because a round has hundreds of arguments; `check` says what is wrong.
            if (
                type(argument) is not np.ndarray
                or argument.ndim != rows.axes
                or argument.dtype != rows.dtype
                or not argument.flags.c_contiguous
            ):
                rows.check(argument)
            words.append(id(argument))  # the code looks into the array's head itself: nothing is faster
        result = self._code(*words)
        return result if self.gives else None


def _parameter(name: str, annotation: Any) -> Parameter:
    if annotation is int:
        return int
    found = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    for declared in found:
        if isinstance(declared, Rows | Row):
            return declared
    raise TypeError(f"{name}: what is compiled takes Rows, Row or int, not {annotation!r}")


def part(function: Function) -> Function:
    """`function` as a part of kernels. Divisions follow numpy (no exception on zero): kernels guard them."""
    return cast(Function, Part(function))


def inlined(function: Function) -> Function:
    """A part whose code becomes its callers': for what is called where every call counts."""
    return cast(Function, Part(function, inlined=True))


def joint(function: Function) -> Function:
    """`function` as a part that is compiled once for kernels of all modules; it takes Row and int.

    It costs a jump, and what calls it need not wait for it to be compiled: a second processor can do that meanwhile.
    """
    return cast(Function, Joint(function))


def compiled(function: Function) -> Function:
    """`function` as a kernel, which takes Rows and int and returns an int or nothing.

    It allocates nothing and raises nothing. `.function` is the uncompiled one.
    """
    return cast(Function, Kernel(function))
