"""Contracts as JSON: the text that the standard library writes, nearly always written by msgspec.

The text has the contract's fields in their order, no spaces, no escapes to ASCII, and floats in Python's shortest form
that reads back as the same number. msgspec writes the same some ten times faster, except for a float that is no number
(it writes null), a negative zero, and floats that Python writes with an exponent. Where one of these occurs, or a type
that msgspec does not take for the contract's, the standard library writes.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from math import copysign
from operator import attrgetter
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import numpy as np
from pydantic import BaseModel

Fields = Mapping[str, Any]
Check = Callable[[Any], bool]


@cache
def writer(contract: type[BaseModel]) -> Callable[[Fields], bytes]:
    """What writes a mapping of a contract's fields; those left out take their defaults, dictionaries are sorted.

    It raises ValueError for a missing or unknown field, and for NaN or infinity. Numbers of numpy are taken as what
    they are, and numbers that the contract calls float are always written as such.
    """
    struct, same, carefully = _struct(contract), _same(contract), careful_writer(contract)

    def write(given: Fields) -> bytes:
        try:
            fields = msgspec.convert(given, struct)
            return _encode(fields) if same is None or same(fields) else carefully(given)
        except (msgspec.ValidationError, OverflowError):
            return carefully(given)

    return write


@cache
def careful_writer(contract: type[BaseModel]) -> Callable[[Fields], bytes]:
    """The same by the standard library, for any values."""
    ordered = _object(contract)
    return lambda given: _JSON.encode(ordered(given)).encode()


@cache
def _struct(contract: type[BaseModel]) -> type[msgspec.Struct]:
    """The contract as a struct that takes plain values only and checks no more than their types."""
    fields = [
        (name, _plain(info.annotation), msgspec.NODEFAULT if info.is_required() else info.default)
        for name, info in contract.model_fields.items()
    ]
    return msgspec.defstruct(contract.__name__, fields, forbid_unknown_fields=True, gc=False, kw_only=True)


def _plain(kind: Any) -> Any:
    match _parts(kind):
        case "optional", inner:
            return _plain(inner) | None
        case "list", item:
            return tuple[_plain(item), ...]  # type: ignore[misc] # built at run time
        case "dictionary", item:
            return dict[str, _plain(item)]  # type: ignore[misc] # built at run time
        case "object", contract:
            return _struct(contract)
        case _, simple:
            return simple


def _same(kind: Any) -> Check | None:
    """Whether msgspec writes all floats of a converted value as Python does; None: it has none."""
    match _parts(kind):
        case "float", _:
            return _same_float
        case "object", contract:
            return _same_object(contract)
        case ("optional" | "list" | "dictionary") as form, inner:
            same = _same(inner)
            return None if same is None else _FORMS[form](same)
    return None


#: How a check of a value is made one of what holds such values.
_FORMS: dict[str, Callable[[Check], Check]] = {
    "optional": lambda same: lambda value: value is None or same(value),
    "list": lambda same: lambda values: all(map(same, values)),
    "dictionary": lambda same: lambda values: all(map(same, values.values())),
}


def _same_object(contract: type[BaseModel]) -> Check | None:
    checks = [(attrgetter(name), _same(info.annotation)) for name, info in contract.model_fields.items()]
    checked = [(get, same) for get, same in checks if same is not None]

    def same(fields: Any) -> bool:
        for get, same in checked:  # noqa: SIM110 - all() takes a third longer
            if not same(get(fields)):
                return False
        return True

    return same if checked else None


def _same_float(value: float) -> bool:
    return 1e-4 <= value < 1e16 or -1e16 < value <= -1e-4 or (value == 0.0 and copysign(1.0, value) > 0.0)


@cache
def _object(contract: type[BaseModel]) -> Callable[[Fields], dict[str, Any]]:
    required = frozenset(name for name, info in contract.model_fields.items() if info.is_required())
    shapes = {name: _shape(info.annotation) for name, info in contract.model_fields.items()}
    defaults = {name: info.default for name, info in contract.model_fields.items() if not info.is_required()}

    def ordered(given: Fields) -> dict[str, Any]:
        if not given.keys() <= shapes.keys() or not given.keys() >= required:
            unknown, missing = sorted(given.keys() - shapes.keys()), sorted(required - given.keys())
            raise ValueError(f"{contract.__name__}: unknown fields {unknown}, missing fields {missing}")
        return {name: shape(given[name] if name in given else defaults[name]) for name, shape in shapes.items()}

    return ordered


def _shape(kind: Any) -> Callable[[Any], Any]:
    """How a value of this type is written: numbers that the contract calls float are always written as such."""
    match _parts(kind):
        case "float", _:
            return lambda value: float(value) + 0.0  # -0.0 becomes 0.0
        case "optional", inner:
            shape = _shape(inner)
            return lambda value: None if value is None else shape(value)
        case "list", item:
            shape = _shape(item)
            return lambda values: [shape(value) for value in values]
        case "dictionary", item:
            shape = _shape(item)
            return lambda values: {name: shape(values[name]) for name in sorted(values)}
        case "object", contract:
            return _object(contract)
    return lambda value: value


def _parts(kind: Any) -> tuple[str, Any]:
    """What a field's type is, and what it is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "object", kind
    origin, arguments = get_origin(kind), [argument for argument in get_args(kind) if argument is not type(None)]
    if origin is Annotated:
        return _parts(arguments[0])
    if origin is Literal:
        return "word", type(arguments[0])
    if len(arguments) != len(get_args(kind)):
        return "optional", arguments[0]
    if origin is tuple:
        return "list", arguments[0]
    if origin is dict:
        return "dictionary", arguments[1]
    return kind.__name__, kind


def _from_numpy(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_from_numpy)
_encode = msgspec.json.Encoder(order="deterministic").encode
