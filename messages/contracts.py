"""JSON Schemas and the AsyncAPI 3 document, generated from the contracts; `docs/contracts` holds the result."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from messages.encoding import CE_SOURCE, ce_type
from messages.examples import DECISIONS, EVENTS
from messages.inputs import BROADCAST_TOPICS, USER_TOPICS, FraudConfirmed, ProfileChanged
from messages.journal import JOURNAL, JournalEntry
from messages.outputs import DEAD_LETTERS, DECISION_TOPICS, MODEL_SNAPSHOTS, ModelSnapshot
from messages.topics import ALL_TOPICS, TopicSpec
from messages.verdict import Refused

ASYNCAPI_FILE = "asyncapi.yaml"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_KAFKA_BINDING = "0.5.0"
_INPUTS: dict[str, tuple[type[BaseModel], ...]] = {**USER_TOPICS, **BROADCAST_TOPICS}
_OUTPUTS: dict[str, tuple[type[BaseModel], ...]] = {
    **{topic: (model,) for topic, model in DECISION_TOPICS.items()},
    JOURNAL: (JournalEntry,),
    MODEL_SNAPSHOTS: (ModelSnapshot,),
}
_WORDS = {"type": "string"}


def _currency_with(field: str, least: int) -> dict[str, Any]:
    """The schema's form of: where `field` is given and at least `least`, the currency is given too."""
    return {
        "if": {"required": [field], "properties": {field: {"type": "integer", "minimum": least}}},
        "then": {"required": ["currency"], "properties": {"currency": {"type": "string"}}},
    }


#: Rules across fields, as far as JSON Schema can say them (it cannot compare two fields).
_CONDITIONS: dict[type[BaseModel], dict[str, Any]] = {
    ProfileChanged: _currency_with("monthly_income", 0),
    FraudConfirmed: _currency_with("amount", 1),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (draft 2020-12) of every contract by its `type`: what inputs may carry, what outputs do carry."""
    schemas = {}
    for topics, mode in ((_INPUTS, "validation"), (_OUTPUTS, "serialization")):
        for model in (model for models in topics.values() for model in models):
            schema = model.model_json_schema(mode=mode)  # type: ignore[arg-type]
            name = _tag(model)
            schema["properties"]["type"].pop("default", None)
            schema["required"] = [field for field in model.model_fields if field in {*schema["required"], "type"}]
            schemas[name] = {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"urn:duewatch:contract:{name}:v1",
                **schema,
                **_CONDITIONS.get(model, {}),
            }
    return schemas


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0.0 document: channel and operation of every topic, key and headers of every message."""
    models = {topic: [_tag(model) for model in models] for topic, models in (*_INPUTS.items(), *_OUTPUTS.items())}
    models[DEAD_LETTERS] = ["dead_letter"]
    messages = {
        **{_tag(model): _input_message(model) for group in _INPUTS.values() for model in group},
        **{_tag(model): _output_message(model) for group in _OUTPUTS.values() for model in group},
        "dead_letter": _dead_letter_message(),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Duewatch",
            "version": "1.0.0",
            "description": "Early warnings and live credit limits for a pay-later book. Amounts are integers in minor "
            "units (ISO 4217), times are milliseconds since 1970-01-01 UTC. A published version never changes meaning.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {spec.name: _channel(spec, models[spec.name]) for spec in ALL_TOPICS},
        "operations": {_operation(spec): _operation_body(spec, models[spec.name]) for spec in ALL_TOPICS},
        "components": {"messages": messages},
    }


def export(directory: Path) -> list[Path]:
    """Write `<type>.schema.json` of every contract and the AsyncAPI document; returns the paths written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in rendered().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def rendered() -> dict[str, str]:
    """The text of each file that `export` writes, by file name."""
    files = {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in json_schemas().items()
    }
    document = yaml.dump(asyncapi(), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=110)
    return {**files, ASYNCAPI_FILE: document}


class _WithoutAliases(yaml.SafeDumper):
    """Writes what occurs twice twice: anchors are hard to read for people."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _tag(model: type[BaseModel]) -> str:
    tag: str = model.model_fields["type"].default
    return tag


def _operation(spec: TopicSpec) -> str:
    return ("receive" if spec.direction == "input" else "send") + "".join(
        word.capitalize() for word in spec.name.split("-")
    )


def _channel(spec: TopicSpec, messages: list[str]) -> dict[str, Any]:
    kafka: dict[str, Any] = {"topic": spec.name, "bindingVersion": _KAFKA_BINDING}
    if spec.partitions != "input":
        kafka["partitions"] = spec.partitions
    settings = spec.settings()
    kafka["topicConfiguration"] = {
        "cleanup.policy": [settings["cleanup.policy"]],
        "retention.ms": int(settings["retention.ms"]),
    }
    split = "as many partitions as every user-keyed input" if spec.partitions == "input" else "one partition"
    stamped = " Records carry the broker's time (LogAppendTime)." if spec.direction == "input" else ""
    return {
        "address": spec.name,
        "description": f"Keyed by {spec.keyed_by}; {split}.{stamped}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": kafka},
    }


def _operation_body(spec: TopicSpec, messages: list[str]) -> dict[str, Any]:
    return {
        "action": "receive" if spec.direction == "input" else "send",
        "channel": {"$ref": f"#/channels/{spec.name}"},
        "messages": [{"$ref": f"#/channels/{spec.name}/messages/{name}"} for name in messages],
    }


def _message(model: type[BaseModel], key: str, example: dict[str, Any]) -> dict[str, Any]:
    name = _tag(model)
    return {
        "name": name,
        "title": model.__name__,
        "summary": " ".join((model.__doc__ or "").split()),
        "contentType": "application/json",
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"./{name}.schema.json"}},
        "bindings": {
            "kafka": {
                "key": {**_WORDS, "description": f"The bytes of `{key}` in UTF-8."},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
        "examples": [{"name": name, "payload": example}],
    }


def _input_message(model: type[BaseModel]) -> dict[str, Any]:
    key = next(name for name in ("user_id", "region", "name") if name in model.model_fields)
    return _message(model, key, EVENTS[_tag(model)])


def _output_message(model: type[BaseModel]) -> dict[str, Any]:
    decision = "user_id" in model.model_fields
    properties: dict[str, Any] = {
        "ce_specversion": {**_WORDS, "const": "1.0"},
        "ce_id": {**_WORDS, "description": "Equal for every publication of the same decision: drop repeats by it."},
        "ce_type": {**_WORDS, "const": ce_type(model)},
        "ce_source": {**_WORDS, "const": CE_SOURCE},
        "content-type": {**_WORDS, "const": "application/json"},
    }
    if decision:
        properties["ce_time"] = {**_WORDS, "format": "date-time", "description": "The decision's `time` (event time)."}
    key = next(name for name in ("user_id", "name", "partition") if name in model.model_fields)
    message = _message(model, key, DECISIONS[_tag(model)])
    message["headers"] = {"type": "object", "required": list(properties), "properties": properties}
    return message


def _dead_letter_message() -> dict[str, Any]:
    number = {**_WORDS, "pattern": "^[0-9]+$"}
    properties = {
        "id": {**_WORDS, "format": "uuid", "description": "Equal for every publication of the same refusal."},
        "topic": {**_WORDS, "description": "Where the record came from."},
        "partition": number,
        "offset": number,
        "error": {**_WORDS, "enum": [error.value for error in Refused]},
        "message": {**_WORDS, "description": "Names the field and the reason; at most 1024 bytes of UTF-8."},
        "original-bytes": {**number, "description": "Only where the value had to be cut: its length."},
        "original-key-bytes": {**number, "description": "Only where the key had to be cut: its length."},
    }
    optional = {"original-bytes", "original-key-bytes"}
    return {
        "name": "dead_letter",
        "title": "DeadLetter",
        "summary": "A refused record with its own key and value, byte for byte.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": [name for name in properties if name not in optional],
            "properties": properties,
        },
        "payload": {**_WORDS, "format": "binary"},
        "bindings": {
            "kafka": {
                "key": {**_WORDS, "description": "The key of the refused record, byte for byte."},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }
