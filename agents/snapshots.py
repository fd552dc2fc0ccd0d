"""Model snapshots: a learner's state and its compiled model as signed JSON, never pickle."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from messages.encoding import encode
from messages.message import Message
from messages.outputs import MODEL_SNAPSHOTS, ModelSnapshot

if TYPE_CHECKING:
    from scoring.learner import Learner

#: Parameters under this prefix are for the trainer only.
STATE = "state."


class Untrusted(Exception):
    """A snapshot that is not what this deployment's trainer published."""


def snapshot_message(learner: "Learner", training_offset: int, key: bytes) -> Message:
    """The learner's snapshot; `training_offset` is the next training example to learn."""
    model = learner.snapshot()
    fields: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "inputs": model.inputs,
        "schema_hash": f"{model.schema_hash:08x}",
        "examples": learner.examples,
        "positives": learner.positives,
        "parameters": {**model.parameters(), **_packed(learner)},
        "training_offset": training_offset,
    }
    unsigned = encode(MODEL_SNAPSHOTS, {**fields, "signature": ""})
    return encode(MODEL_SNAPSHOTS, {**fields, "signature": _signature(unsigned.value, key)})


def open_snapshot(value: bytes, key: bytes | None) -> ModelSnapshot:
    """The snapshot in a record's value.

    Raises Untrusted when it does not follow the contract, when its signature is not by `key`, or without a key.
    """
    if key is None:
        raise Untrusted("there is no key to check snapshots with (DUEWATCH_HMAC_KEY)")
    try:
        snapshot = ModelSnapshot.model_validate_json(value)
        unsigned = encode(MODEL_SNAPSHOTS, snapshot.model_dump() | {"signature": ""})
    except ValueError as error:  # also a number that JSON does not know
        raise Untrusted(f"no model snapshot: {error}") from error
    # As bytes: texts that are not ASCII cannot be compared in constant time.
    if not hmac.compare_digest(snapshot.signature.encode(), _signature(unsigned.value, key).encode()):
        raise Untrusted(f"{snapshot.version}: the signature is not by this deployment's key")
    return snapshot


def restore_learner(snapshot: ModelSnapshot) -> "Learner":
    """The learner that goes on where the snapshot was taken. Raises scoring.logistic.OtherSchema for other inputs."""
    from scoring.learner import Learner  # brings River along: 100 MB that a worker, which never learns, goes without

    values: dict[str, Any] = {}
    for name, numbers in snapshot.parameters.items():
        if name.startswith(STATE):
            values[name.removeprefix(STATE)] = list(numbers) if len(numbers) != 1 else numbers[0]
    for name in ("examples", "positives", "refused", "iterations"):
        values[name] = int(values[name])
    return Learner.restore(values | {"inputs": list(snapshot.inputs)})


def _packed(learner: "Learner") -> Mapping[str, tuple[float, ...]]:
    state = {name: value for name, value in learner.state().items() if name != "inputs"}
    packed = {
        STATE + name: tuple(map(float, value)) if isinstance(value, list) else (float(value),)
        for name, value in state.items()
    }
    return {**packed, STATE + "warming": (float(learner.warming),)}


def _signature(value: bytes, key: bytes) -> str:
    canonical = json.dumps(json.loads(value), sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()
