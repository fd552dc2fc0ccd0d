"""The policy's expressions: a small, typed language over feature columns, never `eval`.

An expression is parsed by Python's own parser, checked against a whitelist (names, numbers, + - * /, comparisons,
and / or / not, min, max, abs), type-checked (number or condition) and compiled to closures over whole columns. What
two expressions have in common is worked out once for both, and nothing behind an `and` whose left side holds nowhere.

Where a value is not finite (a division by zero) the row is marked as bad and stays so through everything that depends
on it: the caller learns that the expression could not be evaluated there and never mistakes it for "no".
"""

import ast
import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from policy.columns import Bad, Columns, Numbers, Truth, either, not_finite
from policy.program import Code, Op, Step, applied

LONGEST_TEXT = 2_000
LARGEST_NUMBER = 1e15
#: Operations within each other. Compiling and running go down one call or two for each, and the stack is finite.
DEEPEST = 100

T = TypeVar("T")


class ExpressionError(ValueError):
    """What is wrong with an expression, and at which column of its text."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled expression that yields a number; `key` is what `Columns.known` has it under."""

    text: str
    names: tuple[str, ...]
    key: str
    code: Code
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
    """A compiled expression that holds or not; `thresholds` are the numbers that features are compared with.

    `key` is what `Columns.known` has it under.
    """

    text: str
    names: tuple[str, ...]
    thresholds: Mapping[str, float]
    key: str
    code: Code
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
    found = compiler.number(node)
    return Formula(text, tuple(compiler.names), sys.intern(found.text), found.code, found.run)


def condition(text: str, features: Mapping[str, int], constants: Mapping[str, float]) -> Condition:
    """Compile an expression that holds or not. Raises ExpressionError."""
    node = _parse(text)
    _refuse_depth(node)
    compiler = _Compiler(features, constants)
    found = compiler.truth(node)
    return Condition(text, tuple(compiler.names), compiler.thresholds, sys.intern(found.text), found.code, found.run)


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


def _spread(bad: Bad, rows: tuple[int]) -> Bad:
    return None if bad is None else np.broadcast_to(bad, rows)


class _Function(NamedTuple):
    """What an operator or function does to columns, and as a step of a program."""

    columns: np.ufunc
    op: Op


_NEGATIVE = _Function(np.negative, Op.NEGATE)
_ARITHMETIC: dict[type[ast.operator], tuple[_Function, str]] = {
    ast.Add: (_Function(np.add, Op.ADD), "+"),
    ast.Sub: (_Function(np.subtract, Op.SUBTRACT), "-"),
    ast.Mult: (_Function(np.multiply, Op.MULTIPLY), "*"),
    ast.Div: (_Function(np.divide, Op.DIVIDE), "/"),
}
_COMPARISONS: dict[type[ast.cmpop], tuple[_Function, str]] = {
    ast.Lt: (_Function(np.less, Op.LESS), "<"),
    ast.LtE: (_Function(np.less_equal, Op.LESS_EQUAL), "<="),
    ast.Gt: (_Function(np.greater, Op.GREATER), ">"),
    ast.GtE: (_Function(np.greater_equal, Op.GREATER_EQUAL), ">="),
    ast.Eq: (_Function(np.equal, Op.EQUAL), "=="),
    ast.NotEq: (_Function(np.not_equal, Op.NOT_EQUAL), "!="),
}
_FUNCTIONS: dict[str, tuple[_Function, int, int]] = {  # function, fewest and most arguments
    "min": (_Function(np.minimum, Op.MINIMUM), 2, 16),
    "max": (_Function(np.maximum, Op.MAXIMUM), 2, 16),
    "abs": (_Function(np.absolute, Op.ABSOLUTE), 1, 1),
}


def _fail(node: ast.AST, message: str) -> ExpressionError:
    return ExpressionError(f"column {getattr(node, 'col_offset', 0) + 1}: {message}")


class _Node(NamedTuple, Generic[T]):
    """A part of an expression: its text in full parentheses, and what works it out, for columns and for one row."""

    text: str
    run: Callable[[Columns], T]
    code: Code


class _Compiler:
    """One expression's way from syntax tree to closures."""

    def __init__(self, features: Mapping[str, int], constants: Mapping[str, float]) -> None:
        self._features = features
        self._constants = constants
        self.names: dict[str, None] = {}
        self.thresholds: dict[str, float] = {}

    def number(self, node: ast.expr) -> _Node[Numbers]:
        """Compile what has to be a number."""
        match node:
            case ast.Constant():
                return _constant(self._literal(node))
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                inner = self.number(operand)
                return inner if isinstance(node.op, ast.UAdd) else _apply(_NEGATIVE, f"(-{inner.text})", [inner])
            case ast.BinOp():
                if type(node.op) not in _ARITHMETIC:
                    raise _fail(node, f"`{type(node.op).__name__}` is not known; expected one of + - * /")
                function, sign = _ARITHMETIC[type(node.op)]
                left, right = self.number(node.left), self.number(node.right)
                return _apply(function, f"({left.text} {sign} {right.text})", [left, right])
            case ast.Call():
                return self._call(node)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise _fail(node, "expected a number, found a condition")
        raise _fail(
            node, f"{type(node).__name__} is not allowed; expected a number, a feature, + - * /, min, max or abs"
        )

    def truth(self, node: ast.expr) -> _Node[Truth]:
        """Compile what has to be a condition."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return (_all if isinstance(op, ast.And) else _any)([self.truth(value) for value in values])
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

    def _name(self, node: ast.Name) -> _Node[Numbers]:
        name = node.id
        if name in self._constants:
            return _constant(self._constants[name])
        if name not in self._features:
            raise _fail(node, f"unknown feature `{name}`{suggest(name, [*self._features, *self._constants])}")
        self.names[name] = None
        return _Node(name, lambda columns: columns[name], (Step(Op.FEATURE, self._features[name]),))

    def _call(self, node: ast.Call) -> _Node[Numbers]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            raise _fail(node, "this call is not allowed; expected min, max or abs")
        function, fewest, most = _FUNCTIONS[name]
        if node.keywords or not fewest <= len(node.args) <= most:
            expected = "1 argument" if most == 1 else f"{fewest} to {most} arguments"
            raise _fail(node, f"`{name}` takes {expected}, found {len(node.args) + len(node.keywords)}")
        arguments = [self.number(argument) for argument in node.args]
        return _apply(function, f"{name}({', '.join(argument.text for argument in arguments)})", arguments)

    def _compare(self, node: ast.Compare) -> _Node[Truth]:
        operands = [node.left, *node.comparators]
        links = []
        numbers = [self.number(operand) for operand in operands]
        for i, op in enumerate(node.ops):
            if type(op) not in _COMPARISONS:
                raise _fail(node, f"`{type(op).__name__}` is not known; expected one of < <= > >= == !=")
            links.append(_comparison(*_COMPARISONS[type(op)], numbers[i], numbers[i + 1]))
            self._note_threshold(operands[i], operands[i + 1])
        return links[0] if len(links) == 1 else _all(links)

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


def _once(text: str, code: Code, work_out: Callable[[Columns], T]) -> _Node[T]:
    """A node that is worked out once for all expressions that have it in common."""
    text = sys.intern(text)

    def run(columns: Columns) -> T:
        found: T | None = columns.known.get(text)
        if found is None:
            found = columns.known[text] = work_out(columns)
        return found

    return _Node(text, run, code)


def _constant(value: float) -> _Node[Numbers]:
    numbers = Numbers(np.float64(value))
    return _Node(repr(value), lambda columns: numbers, (Step(Op.CONSTANT, value=value),))


def _apply(function: _Function, text: str, arguments: list[_Node[Numbers]]) -> _Node[Numbers]:
    ufunc, (first, *others) = function.columns, (argument.run for argument in arguments)

    def work_out(columns: Columns) -> Numbers:
        values, bad = first(columns)
        if not others:
            return Numbers(ufunc(values), bad)
        for argument in others:
            other, other_bad = argument(columns)
            with np.errstate(all="ignore"):
                values = ufunc(values, other)
            # Marked at once: 1 / (1 / 0) is finite again, and no less wrong.
            bad = either(either(bad, other_bad), not_finite(values))
        return Numbers(values, bad)

    return _once(text, applied(function.op, [argument.code for argument in arguments]), work_out)


def _comparison(function: _Function, sign: str, left: _Node[Numbers], right: _Node[Numbers]) -> _Node[Truth]:
    compare, one, other = function.columns, left.run, right.run

    def work_out(columns: Columns) -> Truth:
        (left_values, left_bad), (right_values, right_bad) = one(columns), other(columns)
        true = np.asarray(compare(left_values, right_values))
        bad = either(left_bad, right_bad)
        return Truth(true if bad is None else true & ~bad, bad)

    return _once(f"({left.text} {sign} {right.text})", applied(function.op, [left.code, right.code]), work_out)


def _all(conditions: list[_Node[Truth]]) -> _Node[Truth]:
    first, *others = (condition.run for condition in conditions)

    def work_out(columns: Columns) -> Truth:
        truth = first(columns)
        for other in others:
            if truth.bad is None and not np.count_nonzero(truth.true):
                return truth  # a certain "no" everywhere: nothing behind it can change that
            truth = _both(truth, other(columns))
        return truth

    code = applied(Op.AND, [condition.code for condition in conditions])
    return _once(f"({' and '.join(condition.text for condition in conditions)})", code, work_out)


def _both(left: Truth, right: Truth) -> Truth:
    bad: Bad = None
    if left.bad is not None or right.bad is not None:
        # A certain "no" on one side decides: `owed > 0 and limit / owed < 2` is a guarded division.
        left_bad, right_bad = left.doubt(), right.doubt()
        bad = (left_bad & (right_bad | right.true)) | (right_bad & left.true)
    return Truth(left.true & right.true, bad)


def _any(conditions: list[_Node[Truth]]) -> _Node[Truth]:
    first, *others = (condition.run for condition in conditions)

    def work_out(columns: Columns) -> Truth:
        truth = first(columns)
        for other in others:
            right = other(columns)
            true, bad = truth.true | right.true, either(truth.bad, right.bad)
            truth = Truth(true, None if bad is None else bad & ~true)
        return truth

    code = applied(Op.OR, [condition.code for condition in conditions])
    return _once(f"({' or '.join(condition.text for condition in conditions)})", code, work_out)


def _not(condition: _Node[Truth]) -> _Node[Truth]:
    def work_out(columns: Columns) -> Truth:
        true, bad = condition.run(columns)
        return Truth(~true if bad is None else ~(true | bad), bad)

    return _once(f"(not {condition.text})", applied(Op.NOT, [condition.code]), work_out)
