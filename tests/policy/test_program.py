"""Programs of the stack machine against the closures over columns."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.columns import Columns
from policy.expressions import condition, formula
from policy.program import ROWS, assembled, run
from tests.messages.twins import uncompiled

NAMES = {"x": 0, "y": 1, "z": 2}
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, -3.0, 0.1, 1e300, -1e300, math.inf, -math.inf, math.nan])
NUMBERS = st.recursive(
    st.sampled_from(["x", "y", "z", "0", "1", "2.5", "3", "1e14"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda part: f"{part[0]}({part[1]}, {part[2]})"),
        inner.map(lambda part: f"abs({part})"),
        inner.map(lambda part: f"(-{part})"),
    ),
    max_leaves=6,
)
CONDITIONS = st.recursive(
    st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda part: f"({''.join(part)})"),
        inner.map(lambda part: f"(not ({part}))"),
    ),
    max_leaves=5,
)
ROWS_OF_VALUES = st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=ROWS)


def _worked_out(expression: Any, matrix: np.ndarray[Any, Any]) -> tuple[list[float], list[bool]]:
    """By the stack machine: the result in each row, and where it cannot be evaluated."""
    code, depth = assembled([expression.code])
    results, unknown = np.zeros((1, ROWS)), np.zeros(len(matrix), np.uint8)
    with np.errstate(all="ignore"):
        uncompiled(run)(
            code.view(np.recarray),
            matrix,
            0,
            len(matrix),
            np.zeros((depth, ROWS)),
            np.zeros((depth, ROWS), np.uint8),
            results,
            unknown,
        )
    return results[0, : len(matrix)].tolist(), (unknown > 0).tolist()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(CONDITIONS, ROWS_OF_VALUES)
def test_a_program_holds_where_the_condition_holds(text: str, rows: list[tuple[float, ...]]) -> None:
    matrix = np.array(rows)
    holds = condition(text, NAMES, {})
    truth = holds(Columns(matrix, NAMES))
    results, unknown = _worked_out(holds, matrix)
    assert results == truth.true.astype(float).tolist()
    assert unknown == truth.doubt().tolist()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(NUMBERS, ROWS_OF_VALUES)
def test_a_program_gives_the_number_of_the_formula(text: str, rows: list[tuple[float, ...]]) -> None:
    matrix = np.array(rows)
    number = formula(text, NAMES, {})
    expected = number(Columns(matrix, NAMES))
    bad = np.zeros(len(matrix), np.bool_) if expected.bad is None else expected.bad
    results, unknown = _worked_out(number, matrix)
    assert unknown == bad.tolist()
    assert [r for r, b in zip(results, bad, strict=True) if not b] == np.asarray(expected.values)[~bad].tolist()


def test_comparing_a_feature_with_a_number_is_one_step() -> None:
    code, depth = assembled([condition("x > 3 and y > 4", NAMES, {}).code])
    assert len(code) == len(["x > 3", "y > 4", "and", "result"])
    assert depth == len(["x > 3", "y > 4"])


def test_a_deep_expression_fits_its_stack() -> None:
    text = "x"
    for _ in range(40):
        text = f"(1 + {text})"
    results, unknown = _worked_out(condition(f"{text} > 0", NAMES, {}), np.array([(1.0, 0.0, 0.0)]))
    assert (results, unknown) == ([1.0], [False])
