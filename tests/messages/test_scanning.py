"""What the scanner takes itself, what it leaves to the validators, and its uncompiled twin."""

import json
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from messages import grammar as grammar_module
from messages import scanner as scanner_module
from messages.columns import Source
from messages.decoding import DAY_MS
from messages.examples import EVENTS
from messages.grammar import CELLS, _fields, grammar
from messages.inputs import USER_TOPICS, FraudConfirmed, ProfileChanged, UserEvent
from messages.money import Money
from messages.records import RawRecords
from messages.scanner import Scanned, Scanner
from messages.scanning import MOST_TOKENS, scan
from messages.structs import derive
from messages.vocabulary import CURRENCIES
from tests.messages.payloads import (
    TOPIC_OF,
    USER_MODELS,
    damaged_events,
    doubtful_events,
    event_bytes,
    fields_of,
    raw,
    record,
    source_of,
    valid_events,
)
from tests.messages.twins import uncompiled

SCANNER = Scanner(Money("CNY"), DAY_MS)


def taken(kind: str, value: bytes | None, key: bytes | None = b"u-1042", timestamp: int = 0) -> bool:
    """Whether the scanner accepts the record; between others that it always accepts."""
    good = record(event_bytes(kind), b"u-1042")
    scanned = SCANNER.scan([(source_of(kind), raw([good, record(value, key, 1, timestamp), good]))])
    assert scanned.accepted[[0, 2]].all()
    return bool(scanned.accepted[1])


@pytest.mark.parametrize("kind", sorted(TOPIC_OF))
def test_the_example_of_every_kind_needs_no_validator(kind: str) -> None:
    fields = EVENTS[kind]
    assert taken(kind, json.dumps(fields).encode())
    assert taken(kind, json.dumps(fields, separators=(",", ":")).encode())
    assert taken(kind, json.dumps(fields, indent=2).encode())
    assert taken(kind, json.dumps(dict(reversed(fields.items()))).encode())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(USER_MODELS))
def test_every_plain_event_with_a_rate_and_a_price_needs_no_validator(
    data: st.DataObject, model: type[UserEvent]
) -> None:
    fields = data.draw(fields_of(model))
    everything = Scanner(Money("CNY", dict.fromkeys(CURRENCIES, 1.0)), DAY_MS)
    try:
        event = model.model_validate(fields)
    except ValidationError:
        return
    topic = TOPIC_OF[fields["type"]]
    scanned = everything.scan([(Source(topic, 0), raw([record(json.dumps(fields).encode(), event.user_id.encode())]))])
    amounts = ("amount", "amount_due", "minimum_due", "monthly_amount", "limit", "monthly_income", "requested_limit")
    unpriced = fields.get("currency") is None and any(fields.get(name) is not None for name in amounts)
    escaped = any(json.dumps(text) != f'"{text}"' for text in fields.values() if isinstance(text, str))
    foreign = fields.get("currency") in ("JPY", "KRW", "VND")  # a hundred times as much in the book's minor units
    assert scanned.accepted.all() or unpriced or foreign or escaped


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"amount": 129900', b'"amount": 129900, "amount": 129900'),
        (b'"amount"', b'"amoun\\u0074"'),
        (b'"amount"', b'"amounts"'),
        (b"129900", b"129900.0"),
        (b"129900", b"1299e2"),
        (b"129900", b"0129900"),
        (b"129900", b"-1"),
        (b"129900", b"0"),
        (b"129900", b"4000000001"),
        (b"129900", b"9" * 18),
        (b"129900", b"9" * 19),
        (b"129900", b"9" * 400),
        (b"129900", b"null"),
        (b"129900", b'"129900"'),
        (b'"CNY"', b'"CNX"'),
        (b'"CNY"', b'"cny"'),
        (b'"CNY"', b"1"),
        (b'"electronics"', b'"gadgets"'),
        (b"true", b"1"),
        (b"true", b"null"),
        (b"true", b"truer"),
        (b'"m-310"', b'""'),
        (b'"m-310"', b'"m 310"'),
        (b'"m-310"', b'"m\\"310"'),
        (b'"m-310"', '"m-\u00e9"'.encode()),
        (b'"m-310"', b'"m\x7f310"'),
        (b'"m-310"', b'"' + b"m" * 129 + b'"'),
        (b'"type": "purchase"', b'"type": "repayment"'),
        (b'"type": "purchase"', b'"type": 1'),
        (b'"type": "purchase", ', b""),
        (b"{", b"[{"),
        (b"{", b'{"a": {},'),
        (b"}", b"}}"),
        (b"}", b""),
        (b"}", b",}"),
        (b"}", b"} x"),
        (b"{", b"{" + b'"x": 1, ' * MOST_TOKENS),
    ],
)
def test_what_is_not_plainly_acceptable_is_left_to_the_validators(old: bytes, new: bytes) -> None:
    value = event_bytes("purchase")
    assert old in value
    assert not taken("purchase", value.replace(old, new, 1))


def test_records_without_a_value_or_key_of_their_own_are_left_to_the_validators() -> None:
    value = event_bytes("purchase")
    assert taken("purchase", value)
    assert taken("purchase", b"\r\n\t " + value + b"\r\n\t ")
    for other in (None, b"", b" ", value + b" " * 65_536):
        assert not taken("purchase", other)
    for key in (None, b"", b"u-1043", b"u-10421", b"u-104", b"u-1042" * 30):
        assert not taken("purchase", value, key)


def test_a_record_that_goes_on_in_the_next_is_left_to_the_validators() -> None:
    value = event_bytes("purchase")
    for cut in range(1, len(value)):
        records = raw([record(value[:cut]), record(value[cut:]), record(value)])
        assert SCANNER.scan([(source_of("purchase"), records)]).accepted.tolist() == [False, False, True]


def test_times_far_ahead_of_their_arrival_are_left_to_the_validators() -> None:
    value, time = event_bytes("purchase"), EVENTS["purchase"]["time"]
    assert taken("purchase", value, timestamp=time - DAY_MS)
    assert not taken("purchase", value, timestamp=time - DAY_MS - 1)
    assert taken("purchase", value, timestamp=-1)


def test_amounts_that_cannot_be_converted_are_left_to_the_validators() -> None:
    scanner = Scanner(Money("CNY", {"CNY": 1.0, "USD": 7.0}), DAY_MS)
    for currency, amount, accepted in [("USD", 7, True), ("USD", 571_428_572, False), ("EUR", 7, False)]:
        values = raw([record(event_bytes("purchase", currency=currency, amount=amount))])
        assert scanner.scan([(source_of("purchase"), values)]).accepted.tolist() == [accepted]


def test_rules_across_fields_are_left_to_the_validators() -> None:
    assert taken("bill_issued", event_bytes("bill_issued", amount_due=5, minimum_due=5))
    assert not taken("bill_issued", event_bytes("bill_issued", amount_due=5, minimum_due=6))
    assert not taken("profile_changed", event_bytes("profile_changed", monthly_income=0, currency=...))
    assert not taken("fraud_confirmed", event_bytes("fraud_confirmed", amount=1, currency=None))


def scanned_by_twin(scanner: Scanner, source: Source, records: RawRecords, monkeypatch: pytest.MonkeyPatch) -> Scanned:
    """The same without a compiler."""

    def twin(*arrays: Any) -> int:
        structured = [a.view(np.recarray) if getattr(a, "dtype", None) and a.dtype.names else a for a in arrays]
        with np.errstate(over="ignore"):
            return int(uncompiled(scan)(*structured))

    with monkeypatch.context() as patched:
        patched.setattr(scanner_module, "scan", twin)
        return scanner.scan([(source, records)])


def test_the_uncompiled_scanner_scans_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(st.lists(st.one_of(valid_events(), doubtful_events(), damaged_events()), min_size=1, max_size=3))
    def holds(cases: list[tuple[str, bytes]]) -> None:
        topic = cases[0][0]
        users = [str(json.loads(value).get("user_id")) if ok(value) else "?" for _, value in cases]
        records = raw([record(value, user.encode()) for (_, value), user in zip(cases, users, strict=True)])
        one, other = Scanner(Money(), DAY_MS), Scanner(Money(), DAY_MS)
        compiled = one.scan([(Source(topic, 0), records)])
        plain = scanned_by_twin(other, Source(topic, 0), records, monkeypatch)
        assert compiled.accepted.tolist() == plain.accepted.tolist()
        assert compiled.events.columns.tobytes() == plain.events.columns.tobytes()
        for name in ("users", "ids", "references"):
            assert getattr(compiled.events, name) == getattr(plain.events, name)

    def ok(value: bytes) -> bool:
        try:
            return isinstance(json.loads(value), dict)
        except (ValueError, RecursionError):
            return False

    holds()


def test_the_grammar_has_every_kind_and_field() -> None:
    tables, topics = grammar()
    assert list(topics) == list(USER_TOPICS)
    assert len(tables.kinds) == len(USER_MODELS)
    assert len(tables.fields) == sum(len(model.model_fields) for model in USER_MODELS)
    assert tables.defaults.shape == (len(USER_MODELS), len(CELLS))


class Unchecked(UserEvent):
    """An event with a text of any characters."""

    type: Literal["unchecked"] = "unchecked"
    note: Annotated[str, Field(min_length=1, max_length=5)]


class Unheard(UserEvent):
    """An event whose null means something else than a missing field."""

    type: Literal["unheard"] = "unheard"
    seen: bool | None = True


@pytest.mark.parametrize("model", [Unchecked, Unheard])
def test_a_field_of_a_form_that_the_scanner_does_not_know_is_an_error(model: type[UserEvent]) -> None:
    with pytest.raises(TypeError, match=r"unchecked.note: the scanner does not know|unheard.seen: null is not"):
        list(_fields(derive(model)))


def test_a_rule_that_the_scanner_does_not_know_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "_KNOWN_RULES", {ProfileChanged, FraudConfirmed})
    with pytest.raises(TypeError, match="BillIssued: the scanner does not know its rule"):
        grammar.__wrapped__()


def test_more_bytes_than_places_can_tell_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner_module, "LONGEST_BUFFER", 100)
    with pytest.raises(ValueError, match="too much for one call"):
        taken("purchase", event_bytes("purchase"))
