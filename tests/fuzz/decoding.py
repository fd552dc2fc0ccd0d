"""What must hold for every record that the decoder is given, whatever its bytes."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from messages.columns import EVENT, Events, Source
from messages.decoding import DAY_MS, Decoded, Decoder
from messages.encoding import LARGEST_LETTER, LARGEST_LETTER_KEY, dead_letter
from messages.inputs import USER_TOPICS
from messages.money import Money
from messages.records import RawRecords
from messages.validating import Validators
from messages.verdict import Fault, Judge, Refusal, Refused
from messages.vocabulary import CURRENCIES
from tests.fuzz.records import MARK, Fuzzed
from tests.messages.test_agreement import expected_row

#: Rates as `expected_row` has them; two currencies lack one.
WITHOUT_RATE = ("VND", "ZAR")
MONEY = Money("CNY", {code: 1.0 for code in CURRENCIES if code not in WITHOUT_RATE})
DECODER = Decoder(MONEY)
#: Another one, whose cache of hashes knows other words.
SECOND = Decoder(MONEY)
#: What decides where the scanner is not sure: alone it must come to the same.
VALIDATORS = Validators(MONEY, DAY_MS)
JUDGES = {topic: Judge(models) for topic, models in USER_TOPICS.items()}
#: One record of so many is decoded alone as well.
_ALONE = 4
_NAMED = re.compile(r"(?s).*?: .")
_LATE = {Refused.KEY_MISMATCH, Refused.TOO_FAR_AHEAD, Refused.CURRENCY_WITHOUT_RATE, Refused.AMOUNT_TOO_LARGE}


class Broken(AssertionError):
    """Something that must hold does not, for this record (None where it is about a whole batch)."""

    def __init__(self, what: str, record: Fuzzed | None = None) -> None:
        super().__init__(f"{what}: {record!r}" if record is not None else what)
        self.record = record


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch that held: its accepted events, and how many records came to what ("accepted" or the error class)."""

    events: Events
    outcomes: Counter[str]


def check(records: Sequence[Fuzzed]) -> Checked:
    """Decode a batch of one topic, every fourth of its records also alone, and hold all against pydantic.

    Offsets must be in order. Raises Broken.
    """
    source = Source(records[0].topic, 3, "epoch-1")
    together = _decoded(DECODER, source, records, None if len(records) > 1 else records[0])
    _compare_with_validators(records, together, source)
    event_at = {offset: i for i, offset in enumerate(together.events.offset.tolist())}
    refusal_at = {refusal.offset: refusal for refusal in together.refused}
    if [record.offset for record in records] != sorted([*event_at, *refusal_at]) or len(event_at) != len(
        together.events
    ):
        raise Broken(f"{len(records)} records came to {len(event_at)} events and {len(refusal_at)} refusals")
    rows = together.events.columns.tolist()
    for record in records:
        at = event_at.get(record.offset)
        if at is not None:
            users, ids = together.events.users, together.events.ids
            _check_event(record, rows[at], users[at], ids[at])
        else:
            _check_refusal(record, refusal_at[record.offset])
    some = records[:: 1 if len(records) < _ALONE else _ALONE]
    for record in some:
        alone = _decoded(SECOND, source, [record], record)
        _compare(record, alone, together, event_at.get(record.offset), refusal_at.get(record.offset))
    outcomes = Counter({"accepted": len(together.events)})
    outcomes.update(refusal.error for refusal in together.refused)
    return Checked(together.events, outcomes)


def _decoded(decoder: Decoder, source: Source, records: Sequence[Fuzzed], culprit: Fuzzed | None) -> Decoded:
    try:
        return decoder.decode(source, RawRecords.of(records))
    except Exception as error:
        if culprit is None:  # whose fault it is shows alone
            for record in records:
                _decoded(decoder, source, [record], record)
        raise Broken(f"decoding raised {error!r}", culprit) from error


def _compare(record: Fuzzed, alone: Decoded, together: Decoded, at: int | None, refusal: Refusal | None) -> None:
    """Alone, the record gives what it gives in its batch."""
    if alone.refused != ([] if refusal is None else [refusal]) or len(alone.events) != (at is not None):
        raise Broken("refused alone and not in a batch, or for another reason", record)
    if at is not None:
        one, many = alone.events, together.events
        found = (one.columns[0].item(), one.users[0], one.ids[0], one.references[0], int(one.offset[0]))
        if found != (many.columns[at].item(), many.users[at], many.ids[at], many.references[at], record.offset):
            raise Broken("another event alone than in a batch", record)


def _compare_with_validators(records: Sequence[Fuzzed], decoded: Decoded, source: Source) -> None:
    """The validators alone come to the same as the scanner and they."""
    validated = VALIDATORS.validate(source, RawRecords.of(records))
    if decoded.refused != validated.refused:
        raise Broken("the validators alone refuse others, or for other reasons")
    one, other = decoded.events, validated.events
    same = one.columns.tobytes() == other.columns.tobytes() and one.offset.tolist() == other.offset.tolist()
    if same and (one.users, one.ids, one.references) == (other.users, other.ids, other.references):
        return
    if len(records) > 1:  # whose fault it is shows alone
        for record in records:
            _compare_with_validators([record], _decoded(SECOND, source, [record], record), source)
    raise Broken("the validators alone make other events of it", records[0] if len(records) == 1 else None)


def _check_event(record: Fuzzed, row: tuple[Any, ...], user: str, identity: str) -> None:
    verdict = JUDGES[record.topic].judge(record.value)
    if isinstance(verdict, Fault):
        raise Broken(f"accepted, but pydantic says {verdict}", record)
    fields: Any = verdict
    if late_fault(record, fields) is not None:
        raise Broken(f"accepted, but {late_fault(record, fields)}", record)
    if dict(zip(EVENT.names or (), row, strict=True)) != expected_row(verdict):
        raise Broken(f"became {row}, not {expected_row(verdict)}", record)
    if (user, identity) != (fields.user_id, fields.event_id):
        raise Broken("the event has another user or id", record)


def late_fault(record: Fuzzed, event: Any) -> Refused | None:
    """Why a record whose value is an event by its contract is refused all the same, worked out anew."""
    if record.key != event.user_id.encode():
        return Refused.KEY_MISMATCH
    if record.timestamp > 0 and event.time - record.timestamp > DAY_MS:
        return Refused.TOO_FAR_AHEAD
    amounts = ("amount", "amount_due", "minimum_due", "monthly_amount", "limit", "monthly_income", "requested_limit")
    given = [getattr(event, name, None) for name in amounts]
    currency = getattr(event, "currency", None)
    if currency in WITHOUT_RATE:
        return Refused.CURRENCY_WITHOUT_RATE
    if currency and any(amount and MONEY.convert(amount, currency) > 4_000_000_000 for amount in given):
        return Refused.AMOUNT_TOO_LARGE
    return None


def _check_refusal(record: Fuzzed, refusal: Refusal) -> None:
    verdict = JUDGES[record.topic].judge(record.value)
    if (refusal.value, refusal.key, refusal.offset) != (record.value, record.key, record.offset):
        raise Broken("the refusal has other bytes than the record", record)
    if refusal.error not in set(Refused) or not _NAMED.match(refusal.message):
        raise Broken(f"refused as {refusal.error!r} with {refusal.message!r}", record)
    if MARK in refusal.message.lower():
        raise Broken(f"the message says who the user is: {refusal.message!r}", record)
    if isinstance(verdict, Fault):
        if (refusal.error, refusal.message) != (verdict.error, verdict.message):
            raise Broken(f"refused with {refusal.message!r}, but pydantic says {verdict}", record)
    elif refusal.error not in _LATE or refusal.error != late_fault(record, verdict):
        raise Broken(f"refused as {refusal.error}, but it is {late_fault(record, verdict)}", record)
    _check_letter(record, refusal)


def _check_letter(record: Fuzzed, refusal: Refusal) -> None:
    letter = dead_letter(refusal)
    if letter != dead_letter(refusal):
        raise Broken("two dead letters of one record differ", record)
    value, key, headers = record.value or b"", record.key, dict(letter.headers)
    if letter.value != value[:LARGEST_LETTER] or letter.key != (None if key is None else key[:LARGEST_LETTER_KEY]):
        raise Broken("the dead letter has other bytes than the record", record)
    if ("original-key-bytes" in headers) != (key is not None and len(key) > LARGEST_LETTER_KEY):
        raise Broken("the dead letter does not say that its key was cut", record)
    if len(headers["message"]) > 1024 or not headers["message"].decode() or headers["error"] != refusal.error.encode():
        raise Broken("the dead letter's headers are wrong", record)
