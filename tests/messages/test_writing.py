"""What is written fast is what the standard library writes, byte for byte."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from messages.encoding import NAMESPACE, attributes, decision_id
from messages.outputs import DECISION_TOPICS, CollectionAction, Evidence, ModelSnapshot, TrainingExample
from messages.writing import careful_writer, writer

CONTRACTS = (*DECISION_TOPICS.values(), ModelSnapshot)
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1).map(lambda value: round(value, 6)),
    st.sampled_from([0.0, -0.0, 1e-4, 9.999999e-5, 1e-6, 1e-7, 5e-324, 1e15, 9.999999999999998e15, 1e16, 1e22, -1e16]),
    st.integers(-(2**60), 2**60),
    st.floats(0, 1, width=32).map(np.float32),
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"])),
    int: st.integers(-(2**70), 2**70) | st.integers(-(2**63), 2**63 - 1).map(np.int64),
    float: FLOATS,
    bool: st.booleans(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type may be given."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return fields(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(SIMPLE[str], values(arguments[1]), max_size=4)
    return st.one_of(st.none(), *(values(argument) for argument in arguments if argument is not type(None)))


def fields(contract: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Fields of a contract in any order, some of those left out that may be."""
    required = {name: values(info.annotation) for name, info in contract.model_fields.items() if info.is_required()}
    optional = {name: values(info.annotation) for name, info in contract.model_fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).flatmap(
        lambda given: st.permutations(list(given.items())).map(dict)
    )


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_any_decision_is_written_as_the_standard_library_writes_it(contract: type[BaseModel]) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(fields(contract))
    def compare(decision: dict[str, Any]) -> None:
        assert writer(contract)(decision) == careful_writer(contract)(decision)

    compare()


@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(FLOATS)
def test_a_float_is_written_as_python_writes_it(value: float) -> None:
    written = writer(Evidence)({"feature": "f", "value": value, "unit": "u"})
    assert written == f'{{"feature":"f","value":{float(value) + 0.0!r},"unit":"u","threshold":null}}'.encode()


@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(st.floats(1e-7, 1e-2) | st.floats(1e14, 1e18), st.booleans())
def test_a_float_near_to_where_python_begins_to_use_exponents_is_written_as_python_does(x: float, below: bool) -> None:
    value = -x if below else x
    assert f'"value":{value!r},'.encode() in writer(Evidence)({"feature": "f", "value": value, "unit": "u"})


def test_every_character_is_written_as_the_standard_library_writes_it() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11_0000)]))
    written = writer(Evidence)({"feature": everything, "value": 1.0, "unit": ""})
    assert written.startswith(b'{"feature":' + json.dumps(everything, ensure_ascii=False).encode() + b",")


def test_what_is_no_number_is_refused_inside_of_a_dictionary_as_well() -> None:
    example = {"b": 0.5, "a": 0.5, "c": float("nan")}
    common = dict.fromkeys(("id", "user_id", "policy", "model"), "x") | {"time": 1, "cause": {"timer": 1}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer(TrainingExample)({**common, "label": True, "scored_time": 1, "inputs": example})


_PARTS = st.one_of(st.integers(-(2**63), 2**64 - 1), SIMPLE[str])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(SIMPLE[str], SIMPLE[str], st.lists(_PARTS, max_size=4))
def test_an_id_is_the_uuid_of_the_standard_library(kind: str, rule: str, cause: list[str | int]) -> None:
    text = json.dumps([kind, rule, *cause], ensure_ascii=False, separators=(",", ":"))
    assert decision_id(kind, rule, *cause) == str(uuid5(NAMESPACE, text))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 4_102_444_800_000))
def test_a_time_in_a_header_is_that_of_the_standard_library(moment: int) -> None:
    expected = datetime.fromtimestamp(moment // 1000, UTC).isoformat()[:19] + f".{moment % 1000:03d}Z"
    assert dict(attributes(CollectionAction, "i", moment))["ce_time"] == expected.encode()
