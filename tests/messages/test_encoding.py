import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.columns import Source
from messages.encoding import LARGEST_LETTER, LARGEST_LETTER_KEY, dead_letter, decision_id, encode
from messages.examples import DECISIONS
from messages.inputs import Contract
from messages.outputs import DECISION_TOPICS, MODEL_SNAPSHOTS, ModelSnapshot
from messages.verdict import Refusal

TOPICS: dict[str, type[Contract]] = {**DECISION_TOPICS, MODEL_SNAPSHOTS: ModelSnapshot}
ROOT = Path(__file__).parents[2]


def example(topic: str, **changes: Any) -> dict[str, Any]:
    return {**DECISIONS[TOPICS[topic].model_fields["type"].default], **changes}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_decision_reads_back_as_what_was_decided(topic: str) -> None:
    message = encode(topic, example(topic))
    assert json.loads(message.value) == example(topic)
    assert TOPICS[topic].model_validate_json(message.value).model_dump(mode="json") == example(topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_bytes_do_not_depend_on_the_order_in_which_fields_were_given(topic: str) -> None:
    given_otherwise = dict(reversed(example(topic).items()))
    assert encode(topic, given_otherwise) == encode(topic, example(topic))


def test_bytes_do_not_depend_on_the_type_that_carries_a_number() -> None:
    plain = example("warnings", default_probability=0.5, spending_anomaly=1.0, time=1_767_225_600_000)
    numpy = {
        **plain,
        "default_probability": np.float32(0.5),
        "spending_anomaly": 1,
        "time": np.int64(1_767_225_600_000),
        "warming": np.bool_(plain["warming"]),
    }
    assert encode("warnings", numpy) == encode("warnings", plain)
    assert b'"spending_anomaly":1.0,' in encode("warnings", plain).value


def test_there_is_one_zero() -> None:
    assert encode("warnings", example("warnings", default_probability=-0.0)).value == (
        encode("warnings", example("warnings", default_probability=0.0)).value
    )


def test_bytes_are_the_same_in_another_process_with_other_hashes() -> None:
    program = (
        "from messages.encoding import encode, dead_letter, decision_id; from messages.examples import DECISIONS;"
        "print(encode('warnings', DECISIONS['warning'])); print(decision_id('warning', 'late', 'u', 5))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    here = f"{encode('warnings', DECISIONS['warning'])}\n{decision_id('warning', 'late', 'u', 5)}\n"
    assert runs == {here.encode()}


def test_the_bytes_of_a_decision_never_change() -> None:
    fields = {
        "id": "i",
        "user_id": "u",
        "time": 1_767_225_600_001,
        "cause": {"timer": 1_767_225_600_000},
        "policy": "p",
        "model": "m",
        "step": "s",
        "action": "stop",
        "days_past_due": 0,
        "overdue_amount": 0,
        "earliest_contact": 1_767_225_600_001,
        "reasons": [{"code": "c", "en": "e", "zh": "还清", "evidence": [{"feature": "f", "value": 1e-7, "unit": ""}]}],
    }
    message = encode("collection-actions", fields)
    assert message.value.decode() == (
        '{"id":"i","user_id":"u","time":1767225600001,'
        '"cause":{"event_id":"","topic":"","partition":0,"offset":0,"epoch":"","timer":1767225600000},'
        '"policy":"p","model":"m","version":1,"type":"collection_action","step":"s","action":"stop","days_past_due":0,'
        '"overdue_amount":0,"earliest_contact":1767225600001,"reasons":[{"code":"c","en":"e","zh":"还清",'
        '"evidence":[{"feature":"f","value":1e-07,"unit":"","threshold":null}]}]}'
    )
    assert message.key == b"u"
    assert message.headers == (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"i"),
        ("ce_type", b"duewatch.collection_action.v1"),
        ("ce_source", b"/duewatch"),
        ("ce_time", b"2026-01-01T00:00:00.001Z"),
        ("content-type", b"application/json"),
    )


def test_a_snapshot_is_keyed_by_the_name_of_its_model() -> None:
    message = encode(MODEL_SNAPSHOTS, example(MODEL_SNAPSHOTS))
    assert message.key == b"default-probability"
    assert dict(message.headers)["ce_id"] == b"default-probability:2026-01-01.1"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"surprise": 1}, r"unknown fields \['surprise'\]"),
        ({"default_probability": float("nan")}, "not JSON compliant"),
        ({"default_probability": float("inf")}, "not JSON compliant"),
        ({"cause": {"event": 1}}, r"Cause: unknown fields \['event'\]"),
    ],
)
def test_a_decision_that_is_not_as_its_contract_says_is_an_error(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        encode("warnings", example("warnings", **changes))


def test_a_missing_field_is_an_error() -> None:
    fields = example("warnings")
    del fields["trigger"]
    with pytest.raises(ValueError, match=r"Warning: unknown fields \[\], missing fields \['trigger'\]"):
        encode("warnings", fields)


def test_decisions_have_topics_of_their_own() -> None:
    with pytest.raises(ValueError, match="'purchases' is not a topic of decisions"):
        encode("purchases", {})


def refusal(value: bytes | None = b"{", key: bytes | None = b"u", message: str = "value: no JSON") -> Refusal:
    return Refusal(Source("bills", 3, "e1"), 42, key, value, "not-json", message)


def test_a_dead_letter_carries_the_record_and_says_where_it_was_and_why_it_was_refused() -> None:
    letter = dead_letter(refusal(value=b"\xff\x00", key=b"\xfe"))
    assert (letter.topic, letter.value, letter.key) == ("dead-letters", b"\xff\x00", b"\xfe")
    headers = dict(letter.headers)
    assert UUID(headers.pop("id").decode()).version == 5
    assert headers == {
        "topic": b"bills",
        "partition": b"3",
        "offset": b"42",
        "error": b"not-json",
        "message": b"value: no JSON",
    }


def test_the_same_refusal_is_the_same_dead_letter_and_another_place_another() -> None:
    assert dead_letter(refusal()) == dead_letter(refusal())
    elsewhere = Refusal(Source("bills", 3, "e2"), 42, b"u", b"{", "not-json", "value: no JSON")
    assert dict(dead_letter(elsewhere).headers)["id"] != dict(dead_letter(refusal()).headers)["id"]


def test_a_missing_key_stays_missing_and_a_missing_value_becomes_empty() -> None:
    letter = dead_letter(refusal(value=None, key=None))
    assert (letter.key, letter.value) == (None, b"")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(st.characters(), max_size=600).map(lambda text: text * 3))
def test_a_long_message_is_cut_to_a_kilobyte_of_whole_characters(message: str) -> None:
    header = dict(dead_letter(refusal(message=message)).headers)["message"]
    assert len(header) <= 1024
    assert message.startswith(header.decode())
    assert len(header) > 1020 or header.decode() == message


def test_a_record_near_the_broker_limit_is_cut_and_says_so() -> None:
    letter = dead_letter(refusal(value=b"v" * (LARGEST_LETTER + 1), key=b"k" * (LARGEST_LETTER_KEY + 2)))
    assert (len(letter.value), len(letter.key or b"")) == (LARGEST_LETTER, LARGEST_LETTER_KEY)
    headers = dict(letter.headers)
    assert headers["original-bytes"] == str(LARGEST_LETTER + 1).encode()
    assert headers["original-key-bytes"] == str(LARGEST_LETTER_KEY + 2).encode()
    whole = dict(dead_letter(refusal(value=b"v" * LARGEST_LETTER)).headers)
    assert "original-bytes" not in whole


def test_an_id_depends_on_kind_rule_and_every_part_of_the_cause() -> None:
    causes: list[tuple[str, str, tuple[str | int, ...]]] = [
        ("warning", "late", ("bills", "", 0, 1)),
        ("warning", "late", ("bills", "", 0, 2)),
        ("warning", "late", ("bills", "", 1, 1)),
        ("warning", "late", ("bills", "e", 0, 1)),
        ("warning", "surge", ("bills", "", 0, 1)),
        ("limit", "late", ("bills", "", 0, 1)),
        ("warning", "late", ("bills", 1)),
        ("warning", "late", ("bills", "1")),
        ("warning", "late,bills", ("1",)),
        ("warning", 'late","bills', ("1",)),
    ]
    ids = [decision_id(kind, rule, *cause) for kind, rule, cause in causes]
    assert len(set(ids)) == len(causes)
    assert ids == [decision_id(kind, rule, *cause) for kind, rule, cause in causes]
    assert {UUID(each).version for each in ids} == {5}
