"""Valid and nearly valid events as bytes, for hypothesis."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from messages.columns import Source
from messages.examples import EVENTS
from messages.inputs import EARLIEST_MS, LARGEST_AMOUNT, LATEST_MS, USER_TOPICS, UserEvent
from messages.records import RawRecords, Record
from messages.vocabulary import CATEGORIES, CURRENCIES, FUND_STATUSES, PAYMENT_METHODS, VERDICTS

USER_MODELS: tuple[type[UserEvent], ...] = tuple(model for models in USER_TOPICS.values() for model in models)
TOPIC_OF: dict[str, str] = {
    model.model_fields["type"].default: topic for topic, models in USER_TOPICS.items() for model in models
}


def source_of(kind: str) -> Source:
    return Source(TOPIC_OF[kind], 3, "epoch-1")


def event_bytes(kind: str, **changes: Any) -> bytes:
    """The example of this kind with some fields changed; a field changed to ... is left out."""
    fields = {**EVENTS[kind], **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def record(value: bytes | None, key: bytes | None = b"u-1042", offset: int = 0, timestamp: int = 0) -> Record:
    return Record(value, key, offset, timestamp)


def raw(records: Iterable[Record]) -> RawRecords:
    return RawRecords.of(records)


identifiers = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)
amounts = st.one_of(st.integers(0, LARGEST_AMOUNT), st.sampled_from([0, 1, LARGEST_AMOUNT]))
times = st.integers(EARLIEST_MS, LATEST_MS - 1)
_BY_NAME: Mapping[str, st.SearchStrategy[Any]] = {
    "time": times,
    "due_time": times,
    "until": times,
    "currency": st.sampled_from(CURRENCIES),
    "category": st.sampled_from(CATEGORIES),
    "status": st.sampled_from(FUND_STATUSES),
    "method": st.sampled_from(PAYMENT_METHODS),
    "verdict": st.sampled_from(VERDICTS),
    "purpose": st.just("travel"),
    "instalments": st.integers(1, 24),
    "months_contributed": st.integers(0, 1200),
    "version": st.just(1),
}
_BOOLEANS = {"green", "energy_intensive", "carries_balance", "succeeded", "charge_back"}
_AMOUNTS = {"amount_due", "minimum_due", "monthly_amount", "limit", "monthly_income"}
#: Texts of JSON values that validators are known to see differently.
DOUBTFUL_LITERALS = (
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"1", b"1.0", b"1e0", b"10E1", b"1.5", b"-5", b"01", b"+1", b"1.",
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"4000000000", b"4000000001", b"9223372036854775808",
    b"18446744073709551616", b"9" * 30, b"9" * 5000, b"946684799999", b"946684800000", b"4102444800000",
    b'""', b'" "', b'"a b"', b'"a\\n"', b'"\\u0000"', b'"\\u0041"', b'"\\ud800"',
    b'"\\ud83d\\ude00"', b'"\\udc00\\ud800"',
    b'"\xff"', b'"\xc3\xa9"', b'"\xed\xa0\x80"', b'"\x7f"', b'"a\nb"', b'"' + b"x" * 128 + b'"',
    b'"' + b"x" * 129 + b'"',
    b'"1"', b"[]", b"{}", b"[" * 500 + b"]" * 500, b'"CNY"', b'"XXX"', b'"cny"', b'"purchase"', b"",
)  # fmt: skip


def _value(name: str) -> st.SearchStrategy[Any]:
    if name in _BOOLEANS or name.startswith("consents_"):
        return st.booleans()
    if name in ("amount", "requested_limit"):
        return st.one_of(st.integers(1, LARGEST_AMOUNT), st.just(1))
    if name in _AMOUNTS:
        return amounts
    return _BY_NAME.get(name, identifiers)


@st.composite
def fields_of(draw: st.DrawFn, model: type[UserEvent]) -> dict[str, Any]:
    """Fields of an event of this kind, valid but for rules across fields; optional ones may be missing or null."""
    fields: dict[str, Any] = {"type": model.model_fields["type"].default}
    for name, info in model.model_fields.items():
        if name == "type":
            continue
        choice = 0 if info.is_required() else draw(st.integers(0, 3))
        if choice == 0:
            fields[name] = draw(_value(name))
        elif choice == 1 and info.default is None:
            fields[name] = None
    return fields


@st.composite
def valid_events(draw: st.DrawFn) -> tuple[str, bytes]:
    """A topic and the bytes of an event of it as producers write them, valid but for rules across fields."""
    fields = draw(fields_of(draw(st.sampled_from(USER_MODELS))))
    names = draw(st.permutations(list(fields)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\n  ", ": ")]))
    return TOPIC_OF[fields["type"]], json.dumps({name: fields[name] for name in names}, separators=separators).encode()


@st.composite
def doubtful_events(draw: st.DrawFn) -> tuple[str, bytes]:
    """A topic and the bytes of an event of it, with some values, keys or surroundings that validators may dispute."""
    model = draw(st.sampled_from(USER_MODELS))
    fields = draw(fields_of(model))
    pairs = [(json.dumps(name).encode(), json.dumps(value).encode()) for name, value in fields.items()]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[at]
        match draw(st.sampled_from(["value", "value", "repeat", "drop", "move", "rename", "extra", "escape"])):
            case "value":
                pairs[at] = (name, draw(st.sampled_from(DOUBTFUL_LITERALS)))
            case "repeat":
                pairs.insert(
                    draw(st.integers(0, len(pairs))), (name, draw(st.sampled_from([value, *DOUBTFUL_LITERALS])))
                )
            case "drop" if len(pairs) > 1:
                del pairs[at]
            case "move":
                pairs.append(pairs.pop(at))
            case "rename":
                pairs[at] = (draw(st.sampled_from([b'"Amount"', b'""', b'"\xff"', b'"typ"', b"amount"])), value)
            case "extra":
                pairs.append((b'"extra"', draw(st.sampled_from(DOUBTFUL_LITERALS))))
            case "escape":
                pairs[at] = (b'"\\u%04x' % name[1] + name[2:], value)
    comma, colon = draw(st.sampled_from([(b",", b":"), (b" ,\n", b"\t: "), (b", ", b": ")]))
    text = b"{" + comma.join(name + colon + value for name, value in pairs) + b"}"
    before = draw(st.sampled_from([b"", b"", b"", b" \n", b"\xef\xbb\xbf", b"\x00"]))
    after = draw(st.sampled_from([b"", b"", b"", b" \r\n\t", b"\x00", b"x", b"{}", b",", b"\xff"]))
    return TOPIC_OF[fields["type"]], before + text + after


@st.composite
def damaged_events(draw: st.DrawFn) -> tuple[str, bytes]:
    """A topic and the bytes of a valid event of it after some damage, or bytes that never were an event."""
    model = draw(st.sampled_from(USER_MODELS))
    kind = model.model_fields["type"].default
    text = bytearray(json.dumps(draw(fields_of(model))).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(text) - 1, 0)))
        match draw(st.sampled_from(["flip", "delete", "insert", "cut", "double", "random"])):
            case "flip" if text:
                text[at] ^= 1 << draw(st.integers(0, 7))
            case "delete":
                del text[at : at + draw(st.integers(1, 4))]
            case "insert":
                text[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "cut":
                del text[at:]
            case "double":
                text += text[at:]
            case "random":
                text = bytearray(draw(st.binary(max_size=64)))
    return TOPIC_OF[kind], bytes(text)
