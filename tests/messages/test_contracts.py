import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from messages.columns import Source
from messages.contracts import ASYNCAPI_FILE, asyncapi, export, json_schemas, rendered
from messages.encoding import dead_letter, encode
from messages.examples import DECISIONS, EVENTS
from messages.inputs import BROADCAST_TOPICS, USER_TOPICS, Contract
from messages.journal import JournalEntry
from messages.outputs import DECISION_TOPICS, MODEL_SNAPSHOTS, ModelSnapshot
from messages.topics import ALL_TOPICS
from messages.verdict import Refusal

DIRECTORY = Path(__file__).parents[2] / "docs" / "contracts"
SCHEMAS = json_schemas()
DOCUMENT = asyncapi()
EXAMPLES = {**EVENTS, **DECISIONS}


def test_the_files_checked_in_are_the_generated_ones() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()}
    assert found == rendered(), "run `duewatch contracts export`"


def test_exporting_writes_every_file(tmp_path: Path) -> None:
    written = export(tmp_path / "contracts")
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == rendered()


def test_every_contract_has_a_schema_and_an_example() -> None:
    models = [model for group in (*USER_TOPICS.values(), *BROADCAST_TOPICS.values()) for model in group]
    outputs: list[type[Contract]] = [*DECISION_TOPICS.values(), ModelSnapshot, JournalEntry]
    tags = {model.model_fields["type"].default for model in (*models, *outputs)}
    assert tags == set(SCHEMAS) == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_valid_and_accepts_the_example(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    Draft202012Validator(SCHEMAS[name]).validate(EXAMPLES[name])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_refuses_unknown_fields_other_types_and_a_missing_type(name: str) -> None:
    validator, example = Draft202012Validator(SCHEMAS[name]), EXAMPLES[name]
    assert not validator.is_valid({**example, "surprise": 1})
    assert not validator.is_valid({**example, "type": "surprise"})
    assert not validator.is_valid({field: value for field, value in example.items() if field != "type"})


@pytest.mark.parametrize("name", sorted(DECISIONS))
def test_consumers_may_rely_on_every_field_of_a_decision(name: str) -> None:
    for schema in (SCHEMAS[name], *SCHEMAS[name].get("$defs", {}).values()):
        assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize(
    ("name", "changes", "valid"),
    [
        ("profile_changed", {"currency": None}, False),
        ("profile_changed", {"currency": None, "monthly_income": None}, True),
        ("fraud_confirmed", {"currency": None}, False),
        ("fraud_confirmed", {"currency": None, "amount": 0}, True),
        ("purchase", {"amount": -5}, False),
        ("purchase", {"user_id": "a b"}, False),
        ("purchase", {"currency": "XBT"}, False),
    ],
)
def test_schemas_know_the_rules_of_the_contracts(name: str, changes: dict[str, Any], valid: bool) -> None:
    assert Draft202012Validator(SCHEMAS[name]).is_valid({**EVENTS[name], **changes}) is valid


# What the AsyncAPI 3.0.0 specification asks of the objects that the document uses.
_REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "properties": {"$ref": {"type": "string"}},
    "additionalProperties": False,
}
_KAFKA_MESSAGE = {"required": ["kafka"], "properties": {"kafka": {"required": ["key", "bindingVersion"]}}}
ASYNCAPI_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"license": {"required": ["name"]}},
        },
        "defaultContentType": {"type": "string"},
        "channels": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "additionalProperties": False,
                "properties": {
                    "address": {"type": "string"},
                    "description": {"type": "string"},
                    "messages": {"type": "object", "minProperties": 1, "additionalProperties": _REFERENCE},
                    "bindings": {"type": "object", "required": ["kafka"]},
                },
            },
        },
        "operations": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": _REFERENCE,
                    "messages": {"type": "array", "minItems": 1, "items": _REFERENCE},
                },
            },
        },
        "components": {
            "type": "object",
            "required": ["messages"],
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"},
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "title", "summary", "contentType", "payload", "bindings"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "title": {"type": "string"},
                            "summary": {"type": "string", "minLength": 10},
                            "contentType": {"type": "string"},
                            "payload": {
                                "oneOf": [
                                    {"required": ["schemaFormat", "schema"], "additionalProperties": True},
                                    {"required": ["type"], "not": {"required": ["schemaFormat"]}},
                                ]
                            },
                            "headers": {
                                "required": ["type", "properties"],
                                "properties": {"type": {"const": "object"}},
                            },
                            "bindings": _KAFKA_MESSAGE,
                            "examples": {"type": "array", "items": {"required": ["payload"]}},
                        },
                    },
                }
            },
        },
    },
}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def resolve(reference: str) -> Any:
    if reference.startswith("./"):
        return SCHEMAS[re.fullmatch(r"\./(\w+)\.schema\.json", reference)[1]]  # type: ignore[index]
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_asyncapi_document_is_built_as_the_specification_asks() -> None:
    Draft202012Validator.check_schema(ASYNCAPI_SCHEMA)
    Draft202012Validator(ASYNCAPI_SCHEMA).validate(DOCUMENT)
    assert yaml.safe_load((DIRECTORY / ASYNCAPI_FILE).read_text(encoding="utf-8")) == DOCUMENT


def test_every_reference_of_the_document_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > len(SCHEMAS)
    for reference in found:
        assert isinstance(resolve(reference), dict)


def test_every_topic_has_a_channel_and_one_operation_on_messages_of_that_channel() -> None:
    assert set(DOCUMENT["channels"]) == {spec.name for spec in ALL_TOPICS}
    channels = []
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        channels.append(channel.removeprefix("#/channels/"))
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")
    assert sorted(channels) == sorted(DOCUMENT["channels"])


def test_duewatch_receives_inputs_and_sends_outputs() -> None:
    directions = {spec.name: "receive" if spec.direction == "input" else "send" for spec in ALL_TOPICS}
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] == directions[operation["channel"]["$ref"].removeprefix("#/channels/")]


def test_every_message_is_used_by_a_channel() -> None:
    used = {
        reference["$ref"].removeprefix("#/components/messages/")
        for channel in DOCUMENT["channels"].values()
        for reference in channel["messages"].values()
    }
    assert used == set(DOCUMENT["components"]["messages"]) == {*SCHEMAS, "dead_letter"}


@pytest.mark.parametrize("topic", [*DECISION_TOPICS, MODEL_SNAPSHOTS])
def test_the_headers_of_an_encoded_decision_are_the_documented_ones(topic: str) -> None:
    (name,) = DOCUMENT["channels"][topic]["messages"]
    headers = {header: text.decode() for header, text in encode(topic, DECISIONS[name]).headers}
    schema = DOCUMENT["components"]["messages"][name]["headers"]
    Draft202012Validator(schema).validate(headers)
    assert set(headers) == set(schema["properties"])


@pytest.mark.parametrize("value", [b"{", b"v" * 1_000_000])
def test_the_headers_of_a_dead_letter_are_the_documented_ones(value: bytes) -> None:
    letter = dead_letter(Refusal(Source("bills", 3), 42, b"k" * len(value), value, "too-large", "value: too long"))
    headers = {header: text.decode() for header, text in letter.headers}
    schema = DOCUMENT["components"]["messages"]["dead_letter"]["headers"]
    Draft202012Validator(schema).validate(headers)
    assert set(headers) <= set(schema["properties"])
