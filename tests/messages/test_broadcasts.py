import json
from typing import Any

import pytest

from messages.broadcasts import parse_broadcast
from messages.columns import Source
from messages.examples import EVENTS
from messages.inputs import MarketIndicator, PolicyPublished
from messages.verdict import Refusal
from tests.messages.payloads import event_bytes, record

MARKET, POLICIES = Source("market", 0), Source("policies", 0)


def refused(source: Source, value: bytes, key: bytes | None) -> tuple[str, str]:
    answer = parse_broadcast(source, record(value, key, offset=9))
    assert isinstance(answer, Refusal)
    assert (answer.source, answer.offset, answer.key, answer.value) == (source, 9, key, value)
    return answer.error, answer.message


def test_a_market_indicator_is_read() -> None:
    indicator = parse_broadcast(MARKET, record(event_bytes("market_indicator"), b"CN-SH"))
    assert isinstance(indicator, MarketIndicator)
    assert indicator.model_dump() == EVENTS["market_indicator"]


def test_a_policy_is_read_however_long_its_document_is() -> None:
    text = "贷" * 1_000_000
    policy = parse_broadcast(POLICIES, record(event_bytes("policy_published", document=text), b"retail"))
    assert isinstance(policy, PolicyPublished)
    assert policy.document == text


def test_a_tombstone_is_nothing() -> None:
    assert parse_broadcast(POLICIES, record(None, b"retail")) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": float("nan")}, "value: Input should be a finite number (got nan)"),
        ({"value": float("inf")}, "value: Input should be a finite number (got inf)"),
        ({"value": True}, "value: Input should be a valid number (got True)"),
        ({"normal": 0}, "normal: Input should be greater than 0 (got 0)"),
        ({"indicator": "gdp"}, "indicator: Input should be 'unemployment_rate', 'delinquency_rate', 'price_index' or"),
        ({"more": 1}, "more: Extra inputs are not permitted (got int)"),
    ],
)
def test_a_bad_indicator_is_refused_with_a_precise_reason(changes: dict[str, Any], message: str) -> None:
    error, text = refused(MARKET, event_bytes("market_indicator", **changes), b"CN-SH")
    assert error == "contract"
    assert message in text


def test_a_key_that_is_not_the_region_or_the_name_is_refused() -> None:
    assert refused(MARKET, event_bytes("market_indicator"), b"CN-BJ") == (
        "key-mismatch",
        "key: is b'CN-BJ', but region is 'CN-SH'",
    )
    assert refused(POLICIES, event_bytes("policy_published"), None) == (
        "key-mismatch",
        "key: is missing, but name is 'retail'",
    )


def test_a_broadcast_that_is_no_json_is_refused() -> None:
    assert refused(MARKET, b"{", b"CN-SH")[0] == "not-json"


def test_a_user_event_does_not_belong_on_a_broadcast_topic() -> None:
    assert refused(MARKET, json.dumps(EVENTS["purchase"]).encode(), b"u-1042")[0] == "contract"
    with pytest.raises(ValueError, match="'purchases' is not a broadcast topic"):
        parse_broadcast(Source("purchases", 0), record(event_bytes("purchase")))
