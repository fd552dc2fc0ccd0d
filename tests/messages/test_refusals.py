"""What a bad record is told, and that it harms no other record."""

import json
from typing import Any

import pytest

from messages.columns import Source
from messages.decoding import DAY_MS, Decoder
from messages.examples import EVENTS
from messages.money import Money
from messages.records import Record
from messages.verdict import LARGEST_RECORD, Refusal
from tests.messages.payloads import event_bytes, raw, record, source_of

PURCHASES = Source("purchases", 3)
TIME: int = EVENTS["purchase"]["time"]


def refusal(value: bytes | None, key: bytes | None = b"u-1042", source: Source = PURCHASES, **place: int) -> Refusal:
    decoded = Decoder(Money("CNY")).decode(source, raw([record(value, key, **place)]))
    assert len(decoded.events) == 0
    (refused,) = decoded.refused
    return refused


def purchase(**changes: Any) -> bytes:
    return event_bytes("purchase", **changes)


def reason(value: bytes | None, **more: Any) -> tuple[str, str]:
    refused = refusal(value, **more)
    return refused.error, refused.message


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (b"", "not-json", "value: Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"hello", "not-json", "value: Invalid JSON: expected value at line 1 column 1"),
        (b'{"type":"purchase"', "not-json", "value: Invalid JSON: EOF while parsing an object at line 1 column 18"),
        (purchase() + b"}", "not-json", "value: Invalid JSON: trailing characters at line 1 column"),
        (b"[" * 10_000, "not-json", "value: Invalid JSON: recursion limit exceeded"),
        (b"\xff\xfe{}", "not-utf8", "value: byte 0 is not UTF-8 (invalid start byte)"),
        (purchase().replace(b"o-88301", b"o-\xc3("), "not-utf8", "is not UTF-8 (invalid continuation byte)"),
        (b"[]", "contract", "event: Input should be an object (got [])"),
        (b"null", "contract", "event: Input should be an object (got None)"),
        (b"{}", "contract", "event: Unable to extract tag using discriminator 'type'"),
        (b'{"type":"bill_issued"}', "contract", "event: Input tag 'bill_issued' found using 'type' does not match any"),
        (purchase(amount=-5), "contract", "amount: Input should be greater than or equal to 1 (got -5)"),
        (purchase(amount=0), "contract", "amount: Input should be greater than or equal to 1 (got 0)"),
        (purchase(amount="12"), "contract", "amount: Input should be a valid integer (got '12')"),
        (purchase(amount=12.0), "contract", "amount: Input should be a valid integer (got 12.0)"),
        (purchase(amount=True), "contract", "amount: Input should be a valid integer (got True)"),
        (purchase(amount=float("nan")), "contract", "amount: Input should be a valid integer (got nan)"),
        (purchase(amount=float("-inf")), "contract", "amount: Input should be a valid integer (got -inf)"),
        (purchase(amount=10**30), "contract", "amount: Input should be less than or equal to 4000000000"),
        (purchase(amount=None), "contract", "amount: Input should be a valid integer (got None)"),
        (purchase(amount=...), "contract", "amount: Field required"),
        (purchase(tip=1), "contract", "tip: Extra inputs are not permitted (got int)"),
        (purchase(currency="XBT"), "contract", "currency: Input should be 'AED', 'AUD'"),
        (purchase(time=0), "contract", "time: Input should be greater than or equal to 946684800000 (got 0)"),
        (purchase(time=10**15), "contract", "time: Input should be less than 4102444800000"),
        (purchase(event_id=""), "contract", "event_id: String should have at least 1 character (got '')"),
        (purchase(city="Xi an"), "contract", "city: String should match pattern"),
        (purchase(merchant_id="caf\u00e9"), "contract", "merchant_id: String should match pattern"),
        (purchase(order_id="a\n"), "contract", "order_id: String should match pattern"),
        (purchase(version=2), "contract", "version: Input should be 1 (got 2)"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_class_and_a_precise_reason(value: bytes, error: str, message: str) -> None:
    refused = refusal(value)
    assert refused.error == error
    assert message in refused.message
    assert refused.value == value


def test_digits_without_end_are_refused() -> None:
    value = event_bytes("purchase").replace(b"129900", b"9" * 20_000)
    assert reason(value)[0] == "not-json"


def test_a_user_id_of_10_kb_is_refused_without_repeating_it_all() -> None:
    error, message = reason(event_bytes("purchase", user_id="u" * 10_240), key=b"u" * 10_240)
    assert error == "contract"
    assert message.startswith("user_id: String should have at most 128 characters (got str of 10240")
    assert len(message) < 200


def test_several_faults_are_all_named_up_to_five() -> None:
    fields = dict.fromkeys(["a", "b", "c", "d", "e", "f", "g"], 1)
    _, message = reason(event_bytes("purchase", **fields))
    assert message.count("Extra inputs are not permitted") == 5
    assert message.endswith("; and 2 more")


def test_a_tombstone_is_refused() -> None:
    assert reason(None) == ("tombstone", "value: is null; events are never deleted by tombstones")


def test_a_record_above_the_size_limit_is_refused_although_its_event_is_valid() -> None:
    event = event_bytes("purchase")
    padded = event + b" " * (LARGEST_RECORD - len(event))
    assert not Decoder(Money("CNY")).decode(PURCHASES, raw([record(padded)])).refused
    assert reason(padded + b" ") == ("too-large", "value: has 65537 bytes, at most 65536 are allowed")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "key: is missing, but must be the user_id"),
        (b"", "key: is empty, but must be the user_id"),
        (b"u-1043", "key: of 6 bytes is another, but must be the user_id"),
        (b"k" * 10_240, "key: of 10240 bytes is another, but must be the user_id"),
    ],
)
def test_a_key_that_is_not_the_user_id_is_refused(key: bytes | None, text: str) -> None:
    assert reason(event_bytes("purchase"), key=key) == ("key-mismatch", text)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "u 1042"},
        {"user_id": 1042},
        {"user_id": ..., "userId": "u-1042"},
        {"customer": 1042},
        {"user_id": "u-1042", "amount": 0},
    ],
)
def test_no_reason_says_who_the_user_is(changes: dict[str, Any]) -> None:
    _, message = reason(purchase(**changes))
    assert "1042" not in message


def test_an_event_too_far_ahead_of_its_arrival_is_refused() -> None:
    arrived = TIME - DAY_MS
    assert (
        not Decoder(Money("CNY")).decode(PURCHASES, raw([record(event_bytes("purchase"), timestamp=arrived)])).refused
    )
    assert reason(event_bytes("purchase"), timestamp=arrived - 1) == (
        "too-far-ahead",
        f"time: {TIME} is 86400001 ms after the record arrived, at most 86400000 are allowed",
    )


@pytest.mark.parametrize("timestamp", [0, -1])
def test_an_event_whose_arrival_is_unknown_is_not_too_far_ahead(timestamp: int) -> None:
    assert (
        not Decoder(Money("CNY")).decode(PURCHASES, raw([record(event_bytes("purchase"), timestamp=timestamp)])).refused
    )


def test_an_old_event_is_accepted_however_late_it_arrives() -> None:
    late = record(event_bytes("purchase"), timestamp=TIME + 3650 * DAY_MS)
    assert not Decoder(Money("CNY")).decode(PURCHASES, raw([late])).refused


def test_a_currency_without_a_rate_is_refused() -> None:
    decoder = Decoder(Money("CNY", {"CNY": 1.0, "USD": 7.0}))
    decoded = decoder.decode(PURCHASES, raw([record(event_bytes("purchase", currency="EUR"))]))
    assert [(each.error, each.message) for each in decoded.refused] == [
        ("currency-without-rate", "currency: no exchange rate for 'EUR' is configured")
    ]


def test_an_amount_that_only_conversion_makes_too_large_is_refused() -> None:
    decoder = Decoder(Money("CNY", {"CNY": 1.0, "USD": 7.0}))
    decoded = decoder.decode(PURCHASES, raw([record(event_bytes("purchase", currency="USD", amount=1_000_000_000))]))
    assert [(each.error, each.message) for each in decoded.refused] == [
        (
            "amount-too-large",
            "amount: 1000000000 minor units of USD are 7000000000 of CNY, at most 4000000000 are allowed",
        )
    ]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("bill_issued", {"minimum_due": 100_001}, "event: minimum_due is greater than amount_due"),
        ("profile_changed", {"currency": ...}, "event: currency is required with monthly_income"),
        ("profile_changed", {"currency": None, "monthly_income": 0}, "event: currency is required with monthly_income"),
        ("fraud_confirmed", {"currency": None}, "event: currency is required with an amount"),
    ],
)
def test_a_rule_across_fields_holds(kind: str, changes: dict[str, Any], message: str) -> None:
    assert reason(event_bytes(kind, **changes), source=source_of(kind)) == ("contract", message)


@pytest.mark.parametrize("kind", sorted(EVENTS.keys() - {"market_indicator", "policy_published"}))
def test_the_type_must_be_given_even_where_a_topic_has_one_kind_only(kind: str) -> None:
    error, message = reason(event_bytes(kind, type=...), source=source_of(kind))
    assert (error, message) == ("contract", "event: Unable to extract tag using discriminator 'type'")


def test_a_record_cannot_smuggle_in_a_second_event() -> None:
    two = event_bytes("purchase") + b"," + event_bytes("purchase", user_id="u-2")
    assert reason(two)[0] == "not-json"
    assert reason(b"[" + two + b"]")[0] == "contract"


def test_bad_records_affect_no_other_record_of_their_batch() -> None:
    bad = [
        None,
        b"",
        b"\xff",
        b"{}",
        b"[" * 5000,
        event_bytes("purchase", amount=-1),
        event_bytes("purchase", city=" "),
    ]
    good = [event_bytes("purchase", event_id=f"e-{i}", amount=i + 1) for i in range(len(bad) * 20)]
    records: list[Record] = []
    for i, value in enumerate(good):
        if i % 20 == 0:
            records.append(record(bad[i // 20], offset=len(records)))
        records.append(record(value, offset=len(records)))
        if i == 50:
            records.append(record(event_bytes("purchase"), key=b"other", offset=len(records)))
    decoded = Decoder(Money("CNY")).decode(PURCHASES, raw(records))
    assert decoded.events.ids == [f"e-{i}" for i in range(len(good))]
    assert decoded.events.columns["amount"].tolist() == list(range(1, len(good) + 1))
    offsets = [each.offset for each in decoded.refused]
    assert offsets == sorted(offsets)
    assert sorted([*offsets, *decoded.events.offset.tolist()]) == list(range(len(records)))
    for each in decoded.refused:
        assert (each.value, each.key) == (records[each.offset].value, records[each.offset].key)


def test_a_repeated_field_counts_with_its_last_value() -> None:
    value = event_bytes("purchase").replace(b'"amount": 129900', b'"amount": 1, "amount": 7')
    decoded = Decoder(Money("CNY")).decode(PURCHASES, raw([record(value)]))
    assert decoded.events.columns["amount"].tolist() == [7]
    assert json.loads(value)["amount"] == 7
