"""Expressions as programs of a stack machine, so that a kernel can work out all of a policy's, some rows at a time.

`policy.expressions` says what an expression means; a program gives the same, also where it cannot be evaluated.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.compiled import part


class Op(IntEnum):
    """What a step does; `x` and `y` are the topmost entries of the stack, a condition is 1 or 0."""

    FEATURE = 0  # push the feature in column `at`
    CONSTANT = 1  # push `value`
    RESULT = 2  # move x to place `at` of the results
    NOT = 3
    AND = 4
    OR = 5
    NEGATE = 6
    ABSOLUTE = 7
    ADD = 8
    SUBTRACT = 9
    MULTIPLY = 10
    DIVIDE = 11
    MINIMUM = 12
    MAXIMUM = 13
    LESS = 16
    LESS_EQUAL = 17
    GREATER = 18
    GREATER_EQUAL = 19
    EQUAL = 20
    NOT_EQUAL = 21


class Step(NamedTuple):
    """One step of a program."""

    op: Op
    at: int = 0
    value: float = 0.0


Code = tuple[Step, ...]
_u8: Any = np.uint64  # of an index: one that cannot be negative needs no look

#: The same for kernels. A comparison of a feature with a number, which most are, is one step: its op and `_WITH`.
STEP = np.dtype([("op", "i4"), ("at", "i4"), ("value", "f8")], align=True)
_WITH = 16
#: Rows that are worked out together: so many that a step's own cost does not count, so few that they stay in the cache.
ROWS = 16

(
    _FEATURE, _CONSTANT, _RESULT, _NOT, _AND, _OR, _NEGATE, _ABSOLUTE, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _MINIMUM,
    _MAXIMUM, _LESS, _LESS_EQUAL, _GREATER, _GREATER_EQUAL, _EQUAL, _NOT_EQUAL,
) = map(int, Op)  # fmt: skip


def applied(op: Op, arguments: Sequence[Code]) -> Code:
    """`op` of the first two arguments, of that and the third, and so on; of a single one where `op` takes one."""
    if len(arguments) == 1:
        return (*arguments[0], Step(op))
    first, *others = arguments
    return first + tuple(step for other in others for step in (*other, Step(op)))


def assembled(expressions: Iterable[Code]) -> tuple[NDArray[np.void], int]:
    """STEP[n] that leaves the results of `expressions` at 0, 1 and so on, and how deep a stack it needs."""
    steps, depth, deepest = list[tuple[int, int, float]](), 0, 0
    for place, code in enumerate(expressions):
        for step in _joined([*code, Step(Op.RESULT, place)]):
            depth += _growth(step[0])
            deepest = max(deepest, depth)
            steps.append(step)
    return np.array(steps, STEP), deepest


def _growth(op: int) -> int:
    """By how much a step makes the stack deeper."""
    if op in (_FEATURE, _CONSTANT) or op >= _LESS + _WITH:
        return 1
    return 0 if op in (_NOT, _NEGATE, _ABSOLUTE) else -1


def _joined(code: Sequence[Step]) -> list[tuple[int, int, float]]:
    """As plain numbers, with one step instead of three where a feature is compared with a number."""
    joined, i = list[tuple[int, int, float]](), 0
    while i < len(code):
        step, *after = code[i : i + 3]
        if step.op is Op.FEATURE and after[0].op is Op.CONSTANT and after[1].op >= _LESS:
            joined.append((after[1].op + _WITH, step.at, after[0].value))
            i += 3
        else:
            joined.append((int(step.op), step.at, step.value))
            i += 1
    return joined


@part
def run(code: Any, features: Any, row: int, rows: int, stack: Any, bad: Any, results: Any, unknown: Any) -> None:
    """Work out `rows` rows (at most ROWS) of f8[m, width] from `row` on.

    `results` f8[results, ROWS] get the numbers, and 1 for a condition that certainly holds; `unknown` u1[m] says in
    which rows one of them could not be evaluated. `stack` f8[depth, ROWS] and `bad` u1[depth, ROWS] are scratch.
    """
    for k in range(rows):
        unknown[row + k] = 0
    top = 0
    for i in range(len(code)):
        op, at, value = code[i].op, _u8(code[i].at), code[i].value
        if op == _FEATURE or op >= _LESS + _WITH:
            _load(features, row, at, rows, stack, _u8(top), bad)
            if op != _FEATURE:
                _compare(op - _WITH, stack, _u8(top), value, bad)
            top += 1
        elif op == _CONSTANT:
            for k in range(ROWS):
                bad[_u8(top), _u8(k)] = 0
                stack[_u8(top), _u8(k)] = value
            top += 1
        elif op == _RESULT:
            top -= 1
            for k in range(ROWS):
                results[at, _u8(k)] = stack[_u8(top), _u8(k)]
            for k in range(rows):
                unknown[_u8(row + k)] |= bad[_u8(top), _u8(k)]
        elif op == _NOT:
            for k in range(ROWS):
                certain = stack[_u8(top - 1), _u8(k)] == 0.0 and bad[_u8(top - 1), _u8(k)] == 0
                stack[_u8(top - 1), _u8(k)] = 1.0 if certain else 0.0
        elif op == _NEGATE:
            for k in range(ROWS):
                stack[_u8(top - 1), _u8(k)] = -stack[_u8(top - 1), _u8(k)]
        elif op == _ABSOLUTE:
            for k in range(ROWS):
                stack[_u8(top - 1), _u8(k)] = abs(stack[_u8(top - 1), _u8(k)])
        else:
            top -= 1
            if op <= _OR:
                _connect(op, stack, _u8(top - 1), _u8(top), bad)
            elif op < _LESS:
                _combine(op, stack, _u8(top - 1), _u8(top), bad)
            else:
                for k in range(ROWS):
                    # x ? y is (x - y) ? 0 for finite numbers: no difference of two different ones is 0.
                    stack[_u8(top - 1), _u8(k)] -= stack[_u8(top), _u8(k)]
                    bad[_u8(top - 1), _u8(k)] |= bad[_u8(top), _u8(k)]
                _compare(op, stack, _u8(top - 1), 0.0, bad)


@part
def _load(features: Any, row: int, column: Any, rows: int, stack: Any, top: Any, bad: Any) -> None:
    """Push a feature."""
    for k in range(rows):
        stack[top, _u8(k)] = features[_u8(row + k), column]
    for k in range(ROWS):
        x = stack[top, _u8(k)]
        bad[top, _u8(k)] = 1 if x - x != 0.0 else 0


@part
def _compare(op: int, stack: Any, top: Any, value: float, bad: Any) -> None:
    """Compare the topmost entries with `value`; a condition that cannot be evaluated is 0."""
    if op == _LESS:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] < value else 0.0
    elif op == _LESS_EQUAL:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] <= value else 0.0
    elif op == _GREATER:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] > value else 0.0
    elif op == _GREATER_EQUAL:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] >= value else 0.0
    elif op == _EQUAL:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] == value else 0.0
    else:
        for k in range(ROWS):
            stack[top, _u8(k)] = 1.0 if stack[top, _u8(k)] != value else 0.0
    for k in range(ROWS):
        stack[top, _u8(k)] = 0.0 if bad[top, _u8(k)] != 0 else stack[top, _u8(k)]


@part
def _connect(op: int, stack: Any, left: Any, right: Any, bad: Any) -> None:
    """`and` and `or` of three values: a certain "no" decides the one, a certain "yes" the other."""
    if op == _AND:
        for k in range(ROWS):
            x, y = stack[left, _u8(k)], stack[right, _u8(k)]
            x_bad, y_bad = bad[left, _u8(k)] != 0, bad[right, _u8(k)] != 0
            bad[left, _u8(k)] = 1 if (x_bad & (y_bad | (y != 0.0))) | (y_bad & (x != 0.0)) else 0
            stack[left, _u8(k)] = x * y
    else:
        for k in range(ROWS):
            holds = max(stack[left, _u8(k)], stack[right, _u8(k)])
            bad[left, _u8(k)] = (bad[left, _u8(k)] | bad[right, _u8(k)]) if holds == 0.0 else 0
            stack[left, _u8(k)] = holds


@part
def _combine(op: int, stack: Any, left: Any, right: Any, bad: Any) -> None:
    """Arithmetic of two numbers."""
    if op == _ADD:
        for k in range(ROWS):
            stack[left, _u8(k)] += stack[right, _u8(k)]
    elif op == _SUBTRACT:
        for k in range(ROWS):
            stack[left, _u8(k)] -= stack[right, _u8(k)]
    elif op == _MULTIPLY:
        for k in range(ROWS):
            stack[left, _u8(k)] *= stack[right, _u8(k)]
    elif op == _DIVIDE:
        for k in range(ROWS):
            stack[left, _u8(k)] /= stack[right, _u8(k)]
    elif op == _MINIMUM:
        for k in range(ROWS):
            stack[left, _u8(k)] = min(stack[left, _u8(k)], stack[right, _u8(k)])
    else:
        for k in range(ROWS):
            stack[left, _u8(k)] = max(stack[left, _u8(k)], stack[right, _u8(k)])
    for k in range(ROWS):
        x = stack[left, _u8(k)]
        bad[left, _u8(k)] |= bad[right, _u8(k)] | (1 if x - x != 0.0 else 0)
