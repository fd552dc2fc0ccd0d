"""The policy's expressions: a small, typed language over feature columns, never `eval`.

An expression is parsed by Python's own parser, checked against a whitelist (names, numbers, + - * /, comparisons,
and / or / not, min, max, abs), type-checked (number or condition) and compiled to closures over whole columns.

Where a value is not finite (a division by zero) the row is marked as bad and stays so through everything that depends
on it: the caller learns that the expression could not be evaluated there and never mistakes it for "no".
"""

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST_TEXT = 2_000
LARGEST_NUMBER = 1e15
#: Operations within each other. Compiling and running go down one call or two for each, and the stack is finite.
DEEPEST = 100

Bad = NDArray[np.bool_] | None  # rows that could not be evaluated; None: none of them


class ExpressionError(ValueError):
    """What is wrong with an expression, and at which column of its text."""


class Columns:
    """Feature columns by name, each copied out of the matrix [m, width] at most once."""

    def __init__(self, matrix: NDArray[np.float64], index: Mapping[str, int]) -> None:
        self.matrix = matrix
        self._index = index
        self._known: dict[str, Numbers] = {}

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, name: str) -> "Numbers":
        known = self._known.get(name)
        if known is None:
            values = np.ascontiguousarray(self.matrix[:, self._index[name]])
            known = self._known[name] = Numbers(values, _not_finite(values))
        return known


@dataclass(frozen=True, slots=True)
class Numbers:
    """f8[m] (or one number for all rows); meaningless where `bad`."""

    values: NDArray[np.float64] | np.float64
    bad: Bad = None


@dataclass(frozen=True, slots=True)
class Truth:
    """bool[m]: where the condition certainly holds, and where that cannot be known (never both)."""

    true: NDArray[np.bool_]
    bad: Bad = None


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled expression that yields a number."""

    text: str
    names: tuple[str, ...]
    _run: Callable[[Columns], Numbers]

    def __call__(self, columns: Columns) -> Numbers:
        """f8[m], with the rows where it could not be evaluated."""
        numbers = self._run(columns)
        if numbers.values.ndim and (numbers.bad is None or numbers.bad.ndim):
            return numbers
        rows = (len(columns),)
        return Numbers(np.broadcast_to(numbers.values, rows), _spread(numbers.bad, rows))


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression that holds or not; `thresholds` are the numbers that features are compared with."""

    text: str
    names: tuple[str, ...]
    thresholds: Mapping[str, float]
    _run: Callable[[Columns], Truth]

    def __call__(self, columns: Columns) -> Truth:
        """bool[m], with the rows where it could not be evaluated."""
        truth = self._run(columns)
        if truth.true.ndim and (truth.bad is None or truth.bad.ndim):
            return truth
        rows = (len(columns),)
        return Truth(np.broadcast_to(truth.true, rows), _spread(truth.bad, rows))


def formula(text: str, features: Mapping[str, int], constants: Mapping[str, float]) -> Formula:
    """Compile an expression that yields a number. Raises ExpressionError."""
    node = _parse(text)
    _refuse_depth(node)
    compiler = _Compiler(features, constants)
    run = compiler.number(node)
    return Formula(text, tuple(compiler.names), run)


def condition(text: str, features: Mapping[str, int], constants: Mapping[str, float]) -> Condition:
    """Compile an expression that holds or not. Raises ExpressionError."""
    node = _parse(text)
    _refuse_depth(node)
    compiler = _Compiler(features, constants)
    run = compiler.truth(node)
    return Condition(text, tuple(compiler.names), compiler.thresholds, run)


def suggest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """`; did you mean `x`?` where a known name is close, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _parse(text: str) -> ast.expr:
    flat = text.replace("\n", " ").strip()
    if not flat:
        raise ExpressionError("is empty; expected an expression")
    if len(flat) > LONGEST_TEXT:
        raise ExpressionError(f"has {len(flat)} characters; expected at most {LONGEST_TEXT}")
    try:
        return ast.parse(flat, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"column {error.offset or 1}: cannot be read: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"cannot be read: {type(error).__name__}: {error}") from None


def _refuse_depth(node: ast.expr) -> None:
    level: list[ast.AST] = [node]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        if not level:
            return
    raise ExpressionError(f"is nested more than {DEEPEST} deep; a long sum counts a level for each of its terms")


def _not_finite(values: NDArray[np.float64] | np.float64) -> Bad:
    finite = np.isfinite(values)
    return None if finite.all() else np.asarray(~finite)


def _spread(bad: Bad, rows: tuple[int]) -> Bad:
    return None if bad is None else np.broadcast_to(bad, rows)


def _either(left: Bad, right: Bad) -> Bad:
    if left is None:
        return right
    return left if right is None else left | right


_ARITHMETIC: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[..., NDArray[np.bool_]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, tuple[np.ufunc, int, int]] = {  # function, fewest and most arguments
    "min": (np.minimum, 2, 16),
    "max": (np.maximum, 2, 16),
    "abs": (np.absolute, 1, 1),
}


def _fail(node: ast.AST, message: str) -> ExpressionError:
    return ExpressionError(f"column {getattr(node, 'col_offset', 0) + 1}: {message}")


class _Compiler:
    """One expression's way from syntax tree to closures."""

    def __init__(self, features: Mapping[str, int], constants: Mapping[str, float]) -> None:
        self._features = features
        self._constants = constants
        self.names: dict[str, None] = {}
        self.thresholds: dict[str, float] = {}

    def number(self, node: ast.expr) -> Callable[[Columns], Numbers]:
        """Compile what has to be a number."""
        match node:
            case ast.Constant():
                return _constant(self._literal(node))
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                inner = self.number(operand)
                return inner if isinstance(node.op, ast.UAdd) else _apply(np.negative, [inner])
            case ast.BinOp():
                ufunc = _ARITHMETIC.get(type(node.op))
                if ufunc is None:
                    raise _fail(node, f"`{type(node.op).__name__}` is not known; expected one of + - * /")
                return _apply(ufunc, [self.number(node.left), self.number(node.right)])
            case ast.Call():
                return self._call(node)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise _fail(node, "expected a number, found a condition")
        raise _fail(
            node, f"{type(node).__name__} is not allowed; expected a number, a feature, + - * /, min, max or abs"
        )

    def truth(self, node: ast.expr) -> Callable[[Columns], Truth]:
        """Compile what has to be a condition."""
        match node:
            case ast.BoolOp(op=op, values=values):
                join = _all if isinstance(op, ast.And) else _any
                return _join(join, [self.truth(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _not(self.truth(operand))
            case ast.Compare():
                return self._compare(node)
            case ast.Name(id=name):
                raise _fail(node, f"expected a condition, found the number `{name}`; compare it, as in `{name} == 1`")
            case ast.Constant() | ast.BinOp() | ast.Call():
                raise _fail(node, "expected a condition, found a number; compare it, as in `x > 0`")
        raise _fail(node, f"{type(node).__name__} is not allowed; expected a comparison, and, or, not")

    def _literal(self, node: ast.Constant) -> float:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise _fail(node, f"expected a number, found {node.value!r}")
        if not abs(node.value) <= LARGEST_NUMBER:
            raise _fail(node, f"the number is out of range; expected at most {LARGEST_NUMBER:.0e}")
        return float(node.value)

    def _name(self, node: ast.Name) -> Callable[[Columns], Numbers]:
        name = node.id
        if name in self._constants:
            return _constant(self._constants[name])
        if name not in self._features:
            raise _fail(node, f"unknown feature `{name}`{suggest(name, [*self._features, *self._constants])}")
        self.names[name] = None
        return lambda columns: columns[name]

    def _call(self, node: ast.Call) -> Callable[[Columns], Numbers]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            raise _fail(node, "this call is not allowed; expected min, max or abs")
        ufunc, fewest, most = _FUNCTIONS[name]
        if node.keywords or not fewest <= len(node.args) <= most:
            expected = "1 argument" if most == 1 else f"{fewest} to {most} arguments"
            raise _fail(node, f"`{name}` takes {expected}, found {len(node.args) + len(node.keywords)}")
        return _apply(ufunc, [self.number(argument) for argument in node.args])

    def _compare(self, node: ast.Compare) -> Callable[[Columns], Truth]:
        operands = [node.left, *node.comparators]
        links = []
        numbers = [self.number(operand) for operand in operands]
        for i, op in enumerate(node.ops):
            compare = _COMPARISONS.get(type(op))
            if compare is None:
                raise _fail(node, f"`{type(op).__name__}` is not known; expected one of < <= > >= == !=")
            links.append(_comparison(compare, numbers[i], numbers[i + 1]))
            self._note_threshold(operands[i], operands[i + 1])
        return links[0] if len(links) == 1 else _join(_all, links)

    def _note_threshold(self, left: ast.expr, right: ast.expr) -> None:
        for feature, bound in ((left, right), (right, left)):
            if isinstance(feature, ast.Name) and feature.id in self._features:
                value = self._fixed(bound)
                if value is not None:
                    self.thresholds.setdefault(feature.id, value)

    def _fixed(self, node: ast.expr) -> float | None:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._fixed(operand)
                return None if value is None else -value
            case ast.Constant(value=int() | float()):
                return float(node.value)  # type: ignore[arg-type] # the pattern has narrowed it
            case ast.Name(id=name):
                return self._constants.get(name)
        return None


def _constant(value: float) -> Callable[[Columns], Numbers]:
    numbers = Numbers(np.float64(value))
    return lambda columns: numbers


def _apply(ufunc: np.ufunc, arguments: list[Callable[[Columns], Numbers]]) -> Callable[[Columns], Numbers]:
    def run(columns: Columns) -> Numbers:
        first = arguments[0](columns)
        with np.errstate(all="ignore"):
            if len(arguments) == 1:
                return Numbers(ufunc(first.values), first.bad)
            values, bad = first.values, first.bad
            for argument in arguments[1:]:
                other = argument(columns)
                values = ufunc(values, other.values)
                # Marked at once: 1 / (1 / 0) is finite again, and no less wrong.
                bad = _either(_either(bad, other.bad), _not_finite(values))
        return Numbers(values, bad)

    return run


def _comparison(
    compare: Callable[..., NDArray[np.bool_]],
    left: Callable[[Columns], Numbers],
    right: Callable[[Columns], Numbers],
) -> Callable[[Columns], Truth]:
    def run(columns: Columns) -> Truth:
        one, other = left(columns), right(columns)
        bad = _either(one.bad, other.bad)
        true = np.asarray(compare(one.values, other.values))
        return Truth(true if bad is None else true & ~bad, bad)

    return run


def _join(
    join: Callable[[Truth, Truth], Truth], conditions: list[Callable[[Columns], Truth]]
) -> Callable[[Columns], Truth]:
    def run(columns: Columns) -> Truth:
        truth = conditions[0](columns)
        for other in conditions[1:]:
            truth = join(truth, other(columns))
        return truth

    return run


def _all(left: Truth, right: Truth) -> Truth:
    bad: Bad = None
    if left.bad is not None or right.bad is not None:
        # A certain "no" on one side decides: `owed > 0 and limit / owed < 2` is a guarded division.
        left_bad, right_bad = _mask(left), _mask(right)
        bad = (left_bad & (right_bad | right.true)) | (right_bad & left.true)
    return Truth(left.true & right.true, bad)


def _any(left: Truth, right: Truth) -> Truth:
    true = left.true | right.true
    bad = _either(left.bad, right.bad)
    return Truth(true, None if bad is None else bad & ~true)


def _not(condition: Callable[[Columns], Truth]) -> Callable[[Columns], Truth]:
    def run(columns: Columns) -> Truth:
        truth = condition(columns)
        return Truth(~truth.true if truth.bad is None else ~(truth.true | truth.bad), truth.bad)

    return run


def _mask(truth: Truth) -> NDArray[np.bool_]:
    return np.zeros_like(truth.true) if truth.bad is None else truth.bad


def finite_or(numbers: Numbers, instead: float) -> NDArray[np.float64]:
    """The values, with `instead` where they could not be evaluated."""
    if numbers.bad is None:
        return np.asarray(numbers.values, dtype=np.float64)
    return np.where(numbers.bad, instead, numbers.values)


def any_bad(*parts: Numbers | Truth) -> Bad:
    """Rows where at least one of the parts could not be evaluated."""
    bad: Bad = None
    for part in parts:
        bad = _either(bad, part.bad)
    return bad
