"""The scanner, msgspec and pydantic accept the same records with the same values, whatever the bytes."""

import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from messages.columns import EVENT, Source
from messages.decoding import DAY_MS, Decoded, Decoder
from messages.examples import EVENTS
from messages.hashing import stable_hash
from messages.inputs import USER_TOPICS, UserEvent
from messages.money import Money
from messages.records import RawRecords
from messages.structs import derive
from messages.validating import Validators
from messages.verdict import Fault, Judge, Refused
from messages.vocabulary import CATEGORIES, CURRENCIES, FUND_STATUSES, PAYMENT_METHODS, VERDICTS, Kind
from tests.messages.payloads import (
    DOUBTFUL_LITERALS,
    TOPIC_OF,
    USER_MODELS,
    damaged_events,
    doubtful_events,
    fields_of,
    raw,
    record,
    valid_events,
)

#: All rates equal, and no currency with fewer digits than the book's: amounts stay below the bound.
MONEY = Money("CNY", dict.fromkeys(CURRENCIES, 1.0))
DECODER = Decoder(MONEY)
VALIDATORS = Validators(MONEY, DAY_MS)
JUDGES = {topic: Judge(models) for topic, models in USER_TOPICS.items()}
_thorough = settings(max_examples=300, deadline=None, derandomize=True)


def expected_row(event: BaseModel) -> dict[str, int]:
    """The row of EVENT that pydantic's event should become, written out without the decoder's tables."""
    fields = event.model_dump()
    row = dict.fromkeys(EVENT.names or (), 0)
    row["kind"] = Kind[fields["type"].upper()]
    row["time"] = fields["time"] // 1000
    row["event"] = stable_hash(fields["event_id"])

    def book(name: str) -> int:
        return MONEY.convert(fields[name], fields["currency"]) if fields[name] else 0

    for column, names in {
        "amount": ("amount", "amount_due", "monthly_amount", "limit", "requested_limit"),
        "minimum": ("minimum_due",),
        "income": ("monthly_income",),
    }.items():
        row[column] = sum(book(name) for name in names if name in fields)
    for column, name in {
        "bill": "bill_id", "merchant": "merchant_id", "device": "device_id", "city": "city", "region": "region",
        "employer": "employer_id",
    }.items():  # fmt: skip
        row[column] = stable_hash(fields[name]) if fields.get(name) else 0
    row["until"] = fields.get("due_time", fields.get("until", 0)) // 1000
    row["instalments"] = fields.get("instalments", 0)
    row["months"] = fields.get("months_contributed", 0)
    row["category"] = CATEGORIES.index(fields["category"]) if "category" in fields else 0
    row["method"] = PAYMENT_METHODS.index(fields["method"]) if "method" in fields else 0
    row["status"] = FUND_STATUSES.index(fields["status"]) if "status" in fields else 0
    if "verdict" in fields:
        row["status"] = VERDICTS.index(fields["verdict"])
    flags = ("green", "energy_intensive", "carries_balance", "succeeded", "charge_back", "consents_to_increases",
             "consents_to_automated_decisions")  # fmt: skip
    row["flags"] = sum(1 << bit for bit, name in enumerate(flags) if fields.get(name))
    if fields["type"] in ("account_opened", "profile_changed"):
        present = ("monthly_income", "region", "consents_to_increases", "consents_to_automated_decisions")
        row["present"] = sum(1 << bit for bit, name in enumerate(present) if fields[name] is not None)
    return row


def decode(topic: str, records: RawRecords) -> Decoded:
    """The records decoded; the validators alone decode them to the same."""
    decoded = DECODER.decode(Source(topic, 0), records)
    validated = VALIDATORS.validate(Source(topic, 0), records)
    assert decoded.refused == validated.refused
    assert decoded.events.columns.tobytes() == validated.events.columns.tobytes()
    assert decoded.events.users == validated.events.users
    assert decoded.events.ids == validated.events.ids
    assert decoded.events.references == validated.events.references
    assert decoded.events.offset.tolist() == validated.events.offset.tolist()
    return decoded


def assert_agreement(topic: str, value: bytes) -> None:
    verdict = JUDGES[topic].judge(value)
    key = b"?" if isinstance(verdict, Fault) else verdict.model_dump()["user_id"].encode()
    decoded = decode(topic, raw([record(value, key)]))
    if isinstance(verdict, Fault):
        assert len(decoded.events) == 0
        (refusal,) = decoded.refused
        assert (refusal.error, refusal.message) == (verdict.error, verdict.message)
        assert refusal.value == value
        assert refusal.error in set(Refused)
        # A name is given as it stands in the record, which may be anything where the name itself is what is wrong.
        named, unknown = r"[A-Za-z_.0-9]*: .", r"(?s).*: Extra inputs are not permitted"
        assert re.match(named, refusal.message) or re.match(unknown, refusal.message), refusal.message
    elif decoded.refused:
        # The amount alone may be too large once yen become yuan.
        assert [refusal.error for refusal in decoded.refused] == [Refused.AMOUNT_TOO_LARGE]
    else:
        row = {name: int(decoded.events.columns[0][name]) for name in EVENT.names or ()}
        assert row == expected_row(verdict)
        assert decoded.events.users == [verdict.model_dump()["user_id"]]
        assert decoded.events.ids == [verdict.model_dump()["event_id"]]


@_thorough
@given(doubtful_events())
def test_fast_path_and_pydantic_accept_the_same_records_with_the_same_values(case: tuple[str, bytes]) -> None:
    assert_agreement(*case)


@pytest.mark.parametrize("kind", sorted(TOPIC_OF))
def test_every_field_with_every_doubtful_value_finds_the_same_verdict(kind: str) -> None:
    example = EVENTS[kind]
    contract = next(model for model in USER_MODELS if model.model_fields["type"].default == kind)
    for field in contract.model_fields:
        others = [
            f"{json.dumps(name)}:{json.dumps(value)}".encode() for name, value in example.items() if name != field
        ]
        for literal in DOUBTFUL_LITERALS:
            pair = b'"%s":%s' % (field.encode(), literal)
            assert_agreement(TOPIC_OF[kind], b"{" + b",".join([*others, pair]) + b"}")


@_thorough
@given(damaged_events())
def test_damaged_bytes_are_accepted_or_refused_with_a_class_and_a_reason(case: tuple[str, bytes]) -> None:
    assert_agreement(*case)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(USER_MODELS))
def test_the_derived_struct_reads_every_valid_event_without_pydantic(
    data: st.DataObject, model: type[UserEvent]
) -> None:
    fields = data.draw(fields_of(model))
    text = json.dumps(fields)
    struct = derive(model).struct
    try:
        event = model.model_validate_json(text)
    except ValidationError as refused:
        broken = {detail["type"] for detail in refused.errors()}
    else:
        broken = set()
    # Only rules across fields are left to break here, and those are checked on columns.
    assert broken <= {"value_error"}
    assume(not broken)
    values: dict[str, Any] = msgspec.structs.asdict(msgspec.json.decode(text, type=struct))
    assert values == {name: value for name, value in event.model_dump().items() if name != "type"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(valid_events(), doubtful_events(), damaged_events()), max_size=12), st.integers(0, 12))
def test_a_batch_decodes_to_what_any_cut_of_it_decodes_to(cases: list[tuple[str, bytes]], cut: int) -> None:
    for topic in {topic for topic, _ in cases}:
        values = [value for other, value in cases if other == topic]
        keys = []
        for value in values:
            verdict = JUDGES[topic].judge(value)
            keys.append(b"?" if isinstance(verdict, Fault) else verdict.model_dump()["user_id"].encode())
        records = [record(value, key, 100 + i) for i, (value, key) in enumerate(zip(values, keys, strict=True))]
        together = decode(topic, raw(records))
        for parts in [[each] for each in records], [records[:cut], records[cut:]]:
            decoded = [decode(topic, raw(part)) for part in parts]
            assert together.refused == [refusal for each in decoded for refusal in each.refused]
            assert together.events.columns.tolist() == [row for each in decoded for row in each.events.columns.tolist()]
            assert together.events.users == [name for each in decoded for name in each.events.users]
            assert together.events.ids == [name for each in decoded for name in each.events.ids]
            assert together.events.references == [name for each in decoded for name in each.events.references]
            assert together.events.offset.tolist() == [o for each in decoded for o in each.events.offset.tolist()]


@pytest.mark.parametrize("model", USER_MODELS, ids=lambda model: model.__name__)
def test_every_kind_has_a_struct_with_the_fields_of_its_contract(model: type[UserEvent]) -> None:
    derived = derive(model)
    assert derived.struct.__struct_fields__ == tuple(name for name in model.model_fields if name != "type")
    assert np.iinfo(np.uint8).min < Kind[derived.tag.upper()] < np.iinfo(np.uint8).max
