"""One event or decision of each contract, for the documentation and as a start for whoever writes a producer."""

from typing import Any

_TIME = 1_767_225_600_000  # 2026-01-01 00:00 UTC
_DAY = 86_400_000


def _by_type(examples: tuple[dict[str, Any], ...]) -> dict[str, dict[str, Any]]:
    return {example["type"]: example for example in examples}


def _event(kind: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "event_id": f"evt-{number:06d}",
        "user_id": "u-1042",
        "time": _TIME + number * 60_000,
        **fields,
        "version": 1,
    }


#: By `type` of the input contract.
EVENTS: dict[str, dict[str, Any]] = _by_type(
    (
        _event(
            "purchase",
            1,
            order_id="o-88301",
            amount=129_900,
            currency="CNY",
            category="electronics",
            merchant_id="m-310",
            device_id="d-77",
            city="CN-310000",
            instalments=6,
            green=True,
        ),
        _event("refund", 2, order_id="o-88301", amount=29_900, currency="CNY", merchant_id="m-310"),
        _event(
            "repayment",
            3,
            repayment_id="r-5512",
            amount=100_000,
            currency="CNY",
            bill_id="b-2026-01",
            method="auto_debit",
        ),
        _event("failed_debit", 4, amount=100_000, currency="CNY", bill_id="b-2026-01"),
        _event("reversal", 5, repayment_id="r-5512", amount=100_000, currency="CNY", bill_id="b-2026-01"),
        _event(
            "bill_issued",
            6,
            bill_id="b-2026-01",
            amount_due=100_000,
            minimum_due=10_000,
            currency="CNY",
            due_time=_TIME + 20 * _DAY,
        ),
        _event("bill_rescheduled", 7, bill_id="b-2026-01", due_time=_TIME + 50 * _DAY),
        _event("hardship_pause", 8, until=_TIME + 90 * _DAY),
        _event(
            "provident_fund",
            9,
            status="normal",
            monthly_amount=240_000,
            currency="CNY",
            months_contributed=38,
            employer_id="e-9",
            city="CN-310000",
        ),
        _event(
            "account_opened",
            10,
            limit=2_000_000,
            currency="CNY",
            monthly_income=1_200_000,
            region="CN-SH",
            consents_to_increases=True,
        ),
        _event("profile_changed", 11, monthly_income=1_000_000, currency="CNY"),
        _event("account_closed", 12),
        _event("erasure_requested", 13),
        _event("browse", 14, category="gift_cards", device_id="d-77"),
        _event("login", 15, succeeded=False, device_id="d-78", city="CN-440300"),
        _event("limit_request", 16, request_id="lr-1", requested_limit=3_000_000, currency="CNY", purpose="education"),
        _event("warning_feedback", 17, warning_id="0f1d3c2e-5b7a-5c3d-8e9f-1a2b3c4d5e6f", verdict="confirmed"),
        _event("fraud_confirmed", 18, order_id="o-88301", amount=129_900, currency="CNY", charge_back=True),
        {
            "type": "market_indicator",
            "event_id": "mi-2026-01",
            "region": "CN-SH",
            "time": _TIME,
            "indicator": "unemployment_rate",
            "value": 5.4,
            "normal": 5.0,
            "version": 1,
        },
        {
            "type": "policy_published",
            "event_id": "pp-7",
            "name": "retail",
            "time": _TIME,
            "mode": "active",
            "document": "name: retail\n",
            "version": 1,
        },
    )
)

_REASON = {
    "code": "utilisation-surge",
    "en": "91 % of the limit is in use",
    "zh": "额度已使用91%",
    "evidence": [{"feature": "utilisation", "value": 0.91, "unit": "ratio", "threshold": 0.9}],
}


def _decision(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "3f0c2a4e-9d61-5b7f-a1c8-6e5d4c3b2a10",
        "user_id": "u-1042",
        "time": _TIME + 60_000,
        "cause": {
            "event_id": "evt-000001",
            "topic": "purchases",
            "partition": 3,
            "offset": 88_210,
            "epoch": "",
            "timer": None,
        },
        "policy": "retail@0a1b2c3d4e5f",
        "model": "scorecard@1",
        "version": 1,
        "type": kind,
        **fields,
    }


#: By `type` of the output contract.
DECISIONS: dict[str, dict[str, Any]] = _by_type(
    (
        _decision(
            "warning",
            status="raised",
            warning_id="0f1d3c2e-5b7a-5c3d-8e9f-1a2b3c4d5e6f",
            trigger="utilisation_surge",
            severity="medium",
            default_probability=0.18,
            spending_anomaly=0.42,
            grade="B",
            warming=True,
            reasons=[_REASON],
            recommended_action="review",
        ),
        _decision(
            "limit_adjustment",
            direction="cut",
            previous_limit=2_000_000,
            new_limit=1_500_000,
            limit_version=4,
            owed=1_365_000,
            grade="B",
            default_probability=0.18,
            reasons=[_REASON],
            path_back="Two bills paid in full and on time",
            notice_time=_TIME + 60_000,
            review_time=_TIME + 60 * _DAY,
        ),
        _decision(
            "limit_decision",
            request_id="lr-1",
            outcome="partly_approved",
            requested_limit=3_000_000,
            approved_limit=2_200_000,
            limit_version=5,
            reasons=[_REASON],
        ),
        _decision(
            "score_change",
            default_probability=0.18,
            spending_anomaly=0.42,
            grade="B",
            previous_probability=0.07,
            previous_grade="A",
            warming=True,
            reasons=[_REASON],
        ),
        _decision(
            "collection_action",
            step="first-reminder",
            action="reminder",
            days_past_due=1,
            overdue_amount=10_000,
            earliest_contact=_TIME + _DAY,
            reasons=[_REASON],
        ),
        _decision(
            "training_example",
            label=False,
            scored_time=_TIME - 60 * _DAY,
            inputs={"days_past_due": 0.0, "utilisation": 0.91},
        ),
        {
            "type": "model_snapshot",
            "name": "default-probability",
            "version": "2026-01-01.1",
            "inputs": ["utilisation"],
            "schema_hash": "9c1e55d0",
            "examples": 5_000,
            "positives": 310,
            "parameters": {"intercept": [-2.1], "weights": [1.4]},
            "training_offset": 5_311,
            "signature": "",
        },
        {
            "type": "batch",
            "partition": 3,
            "number": 17,
            "clock": 0,
            "watermark": 1_767_222_000,
            "policy": "default@4be1d0f9c3a2",
            "market": "none",
            "model": "scorecard-1",
            "topics": [
                {"topic": "purchases", "epoch": "", "begin": 40, "end": 43},
                {"topic": "repayments", "epoch": "", "begin": 7, "end": 8},
            ],
            "order": "0010",
            "reset": False,
        },
    )
)
