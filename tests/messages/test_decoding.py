import pytest

from messages.columns import (
    FLAG_CONSENTS_TO_AUTOMATION,
    FLAG_CONSENTS_TO_INCREASES,
    FLAG_ENERGY_INTENSIVE,
    FLAG_GREEN,
    PRESENT_CONSENT_TO_AUTOMATION,
    PRESENT_CONSENT_TO_INCREASES,
    PRESENT_INCOME,
    PRESENT_REGION,
    Source,
)
from messages.decoding import Decoder
from messages.examples import EVENTS
from messages.hashing import stable_hash
from messages.money import Money
from messages.scanner import MOST_SOURCES_KEPT
from messages.vocabulary import CATEGORIES, Kind
from tests.messages.payloads import TOPIC_OF, event_bytes, raw, record, source_of

DECODER = Decoder(Money("CNY"))


@pytest.mark.parametrize("kind", sorted(TOPIC_OF))
def test_the_example_of_every_kind_is_accepted(kind: str) -> None:
    decoded = DECODER.decode(source_of(kind), raw([record(event_bytes(kind), offset=41)]))
    assert decoded.refused == []
    assert decoded.events.columns["kind"].tolist() == [Kind[kind.upper()]]
    assert decoded.events.users == ["u-1042"]
    assert decoded.events.ids == [EVENTS[kind]["event_id"]]
    assert decoded.events.offset.tolist() == [41]
    assert [decoded.events.sources[number] for number in decoded.events.source] == [source_of(kind)]


def test_a_purchase_fills_its_columns() -> None:
    value = event_bytes("purchase", time=1_767_225_600_999, energy_intensive=True)
    row = DECODER.decode(source_of("purchase"), raw([record(value)])).events.columns[0]
    assert row["time"] == 1_767_225_600
    assert row["event"] == stable_hash("evt-000001")
    assert row["amount"] == 129_900
    assert row["instalments"] == 6
    assert CATEGORIES[row["category"]] == "electronics"
    assert [row["merchant"], row["device"], row["city"]] == [stable_hash(t) for t in ("m-310", "d-77", "CN-310000")]
    assert row["flags"] == FLAG_GREEN | FLAG_ENERGY_INTENSIVE


def test_absent_identifiers_are_zero() -> None:
    value = event_bytes("purchase", device_id=..., city=None)
    row = DECODER.decode(source_of("purchase"), raw([record(value)])).events.columns[0]
    assert (row["device"], row["city"]) == (0, 0)


def test_an_opened_account_always_says_what_it_consents_to() -> None:
    value = event_bytes("account_opened", consents_to_increases=..., monthly_income=..., region=...)
    row = DECODER.decode(source_of("account_opened"), raw([record(value)])).events.columns[0]
    assert row["flags"] == FLAG_CONSENTS_TO_AUTOMATION
    assert row["present"] == PRESENT_CONSENT_TO_INCREASES | PRESENT_CONSENT_TO_AUTOMATION


def test_a_changed_profile_says_which_facts_it_carries() -> None:
    source = source_of("profile_changed")
    values = [
        event_bytes("profile_changed", monthly_income=0),
        event_bytes("profile_changed", monthly_income=..., region="CN-SH", consents_to_increases=False),
        event_bytes("profile_changed", consents_to_increases=True, consents_to_automated_decisions=False),
    ]
    columns = DECODER.decode(source, raw([record(value) for value in values])).events.columns
    assert columns["present"].tolist() == [
        PRESENT_INCOME,
        PRESENT_REGION | PRESENT_CONSENT_TO_INCREASES,
        PRESENT_INCOME | PRESENT_CONSENT_TO_INCREASES | PRESENT_CONSENT_TO_AUTOMATION,
    ]
    assert columns["flags"].tolist() == [0, 0, FLAG_CONSENTS_TO_INCREASES]
    assert columns["income"].tolist() == [0, 0, 1_000_000]


def test_amounts_arrive_in_the_currency_of_the_book() -> None:
    decoder = Decoder(Money("CNY", {"CNY": 1.0, "JPY": 0.05, "USD": 7.0}))
    values = [
        event_bytes("bill_issued", currency="JPY", amount_due=1000, minimum_due=100),
        event_bytes("bill_issued", currency="CNY", amount_due=1000, minimum_due=100),
        event_bytes("bill_issued", currency="USD", amount_due=1000, minimum_due=100),
    ]
    columns = decoder.decode(source_of("bill_issued"), raw([record(value) for value in values])).events.columns
    assert columns["amount"].tolist() == [5000, 1000, 7000]
    assert columns["minimum"].tolist() == [500, 100, 700]


def test_references_name_what_a_reply_has_to_name() -> None:
    values = [event_bytes("repayment"), event_bytes("repayment", bill_id=...), event_bytes("reversal")]
    repayments = DECODER.decode(source_of("repayment"), raw([record(value) for value in values]))
    assert repayments.events.references == ["b-2026-01", "", "b-2026-01"]
    for kind, name in {
        "limit_request": "request_id",
        "warning_feedback": "warning_id",
        "bill_issued": "bill_id",
    }.items():
        decoded = DECODER.decode(source_of(kind), raw([record(event_bytes(kind))]))
        assert decoded.events.references == [EVENTS[kind][name]]
    assert DECODER.decode(source_of("purchase"), raw([record(event_bytes("purchase"))])).events.references == [""]


def test_events_of_several_kinds_stay_in_the_order_of_their_records() -> None:
    kinds = ["reversal", "repayment", "failed_debit", "repayment", "reversal"]
    records = [record(event_bytes(kind, event_id=f"e{i}"), offset=10 + i) for i, kind in enumerate(kinds)]
    events = DECODER.decode(Source("repayments", 0), raw(records)).events
    assert events.columns["kind"].tolist() == [Kind[kind.upper()] for kind in kinds]
    assert events.columns["event"].tolist() == [stable_hash(f"e{i}") for i in range(len(kinds))]
    assert events.ids == ["e0", "e1", "e2", "e3", "e4"]
    assert events.offset.tolist() == [10, 11, 12, 13, 14]


def test_no_records_are_no_events() -> None:
    decoded = DECODER.decode(Source("purchases", 0), raw([]))
    assert len(decoded.events) == 0
    assert decoded.refused == []
    assert len(DECODER.decode_many([]).events) == 0


def test_several_topics_are_decoded_one_after_the_other() -> None:
    bills, purchases = Source("bills", 1), Source("purchases", 1)
    decoded = DECODER.decode_many(
        [
            (bills, raw([record(event_bytes("bill_issued")), record(b"", offset=1)])),
            (purchases, raw([record(b"", offset=5), record(event_bytes("purchase"), offset=6)])),
        ]
    )
    assert decoded.events.columns["kind"].tolist() == [Kind.BILL_ISSUED, Kind.PURCHASE]
    assert [decoded.events.sources[i] for i in decoded.events.source] == [bills, purchases]
    assert [(refusal.source, refusal.offset) for refusal in decoded.refused] == [(bills, 1), (purchases, 5)]


def test_batches_that_are_decoded_together_come_out_as_if_each_were_alone() -> None:
    purchase, bill, latin = event_bytes("purchase"), event_bytes("bill_issued"), b"\xff"
    batches = [
        (Source("purchases", 0, "a"), raw([record(purchase), record(latin, offset=1), record(purchase, offset=2)])),
        (Source("bills", 0), raw([])),
        (Source("bills", 0), raw([record(bill, offset=7)])),
        (Source("purchases", 0, "a"), raw([record(b" " + purchase, offset=3)])),
        (Source("bills", 1), raw([record(latin, offset=8)])),
    ]
    together = DECODER.decode_each(batches)
    for (source, records), decoded in zip(batches, together, strict=True):
        alone = DECODER.decode(source, records)
        assert decoded.refused == alone.refused
        assert decoded.events.columns.tobytes() == alone.events.columns.tobytes()
        assert [decoded.events.sources[i] for i in decoded.events.source] == [source] * len(alone.events)
        for name in ("users", "ids", "references"):
            assert list(getattr(decoded.events, name)) == list(getattr(alone.events, name))
        for name in ("offset", "arrived"):
            assert getattr(decoded.events, name).tolist() == getattr(alone.events, name).tolist()
    whole = DECODER.decode_many(batches)
    assert whole.events.columns.tobytes() == b"".join(decoded.events.columns.tobytes() for decoded in together)
    assert whole.refused == [refusal for decoded in together for refusal in decoded.refused]


@pytest.mark.parametrize("topic", ["market", "warnings", ""])
def test_a_topic_that_carries_no_user_events_is_an_error(topic: str) -> None:
    with pytest.raises(ValueError, match="not a topic of user events"):
        DECODER.decode(Source(topic, 0), raw([]))


def test_events_of_different_calls_have_one_numbering_of_sources_until_too_many_came() -> None:
    decoder = Decoder(Money("CNY"))
    records = raw([record(event_bytes("login"))])

    def sources(*epochs: str) -> tuple[Source, ...]:
        decoded = [decoder.decode(Source("behaviours", 0, epoch), records) for epoch in epochs]
        assert [part.events.sources[int(part.events.source[0])].epoch for part in decoded] == list(epochs)
        return decoded[-1].events.sources

    first = sources("a", "b")
    assert sources("a") is first
    assert len(sources(*map(str, range(MOST_SOURCES_KEPT - 2)))) == MOST_SOURCES_KEPT
    assert sources("one too many") == (Source("behaviours", 0, "one too many"),)
