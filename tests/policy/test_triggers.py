import pytest

from messages.vocabulary import FUND_STATUSES, Kind
from tests.policy.rows import Case, bodies, changed, warnings

BUY, TICK, FUND = Kind.PURCHASE, Kind.TICK, Kind.PROVIDENT_FUND
STATUS = {status: float(code) for code, status in enumerate(FUND_STATUSES)}

#: trigger: kind of row, features at which it fires (and how severely), features close by at which it must not.
CASES: list[tuple[str, Kind, dict[str, float], str, dict[str, float]]] = [
    ("abnormal_spending", BUY, {"amount_zscore": 3.2, "amount_to_mean": 4}, "medium", {"amount_zscore": 3.2}),
    (
        "abnormal_spending",
        BUY,
        {"amount_zscore": 6, "amount_to_mean": 9},
        "high",
        {"amount_zscore": 2.9, "amount_to_mean": 90},
    ),
    (
        "spending_velocity",
        BUY,
        {"spend_count_1h": 5, "count_velocity_1h": 9},
        "medium",
        {"spend_count_1h": 4, "count_velocity_1h": 20},
    ),
    (
        "spending_velocity",
        BUY,
        {"spend_velocity_24h": 7, "spend_count_24h": 4, "purchases_total": 20},
        "medium",
        {"spend_velocity_24h": 7, "spend_count_24h": 4, "purchases_total": 19},
    ),
    (
        "spending_velocity",
        BUY,
        {"spend_count_1h": 10, "count_velocity_1h": 9},
        "high",
        {"spend_count_1h": 10, "count_velocity_1h": 2},
    ),
    (
        "cash_out_pattern",
        BUY,
        {"spend_count_90d": 5, "cash_like_share_90d": 0.3, "gift_card_share_90d": 0.25},
        "medium",
        {"spend_count_90d": 3, "cash_like_share_90d": 1},
    ),
    (
        "cash_out_pattern",
        BUY,
        {"spend_count_90d": 5, "cash_like_share_90d": 0.8, "owed": 850_000},
        "high",
        {"spend_count_90d": 50, "cash_like_share_90d": 0.2, "owed": 850_000},
    ),
    ("over_limit_attempt", BUY, {"owed": 1_000_001}, "medium", {"owed": 1_000_000}),
    ("over_limit_attempt", BUY, {"owed": 1_300_000}, "high", {"owed": 999_999}),
    ("utilisation_surge", BUY, {"owed": 870_000, "spend_surge_30d": 1.6}, "medium", {"owed": 870_000}),
    ("utilisation_surge", BUY, {"owed": 970_000, "spend_surge_30d": 2.6}, "high", {"spend_surge_30d": 3}),
    ("fund_interrupted", FUND, {"fund_status": STATUS["interrupted"]}, "medium", {"fund_status": STATUS["normal"]}),
    ("fund_interrupted", FUND, {"fund_status": STATUS["closed"]}, "medium", {"fund_status": STATUS["transferred"]}),
    (
        "fund_interrupted",
        FUND,
        {"fund_status": STATUS["interrupted"], "fund_interruptions_365d": 2},
        "high",
        {"fund_status": STATUS["normal"], "fund_interruptions_365d": 2},
    ),
    ("fund_withdrawn", FUND, {"fund_status": STATUS["withdrawn"]}, "medium", {"fund_status": -1}),
    (
        "fund_amount_dropped",
        FUND,
        {"fund_status": STATUS["normal"], "fund_change": 0.7},
        "medium",
        {"fund_status": STATUS["normal"], "fund_change": 0.71},
    ),
    (
        "fund_amount_dropped",
        FUND,
        {"fund_status": STATUS["normal"], "fund_change": 0.3},
        "high",
        {"fund_status": -1, "fund_change": 1},
    ),
    ("fund_unstable", FUND, {"fund_status_changes_90d": 3}, "medium", {"fund_status_changes_90d": 2}),
    ("fund_unstable", FUND, {"fund_status_changes_90d": 5}, "high", {"fund_status_changes_365d": 9}),
    ("missed_due_date", TICK, {"days_past_due": 1}, "medium", {"days_past_due": 0}),
    ("missed_due_date", TICK, {"days_past_due": 7}, "high", {"worst_days_past_due_90d": 7}),
    ("missed_due_date", TICK, {"days_past_due": 30}, "critical", {"overdue_amount": 30}),
    ("failed_debit", Kind.FAILED_DEBIT, {"failed_debits_30d": 1}, "low", {"failed_debits_90d": 1}),
    ("failed_debit", Kind.FAILED_DEBIT, {"failed_debits_30d": 3}, "high", {"failed_debits_30d": 0}),
    ("default_likely", TICK, {"events_total": 0.3}, "medium", {"events_total": 0.29}),
    ("default_likely", TICK, {"events_total": 0.5}, "high", {"events_total": 0.5, "judged_bills": 0}),
    ("beyond_ability_to_pay", TICK, {"minimum_due_30d": 1_000_001}, "medium", {"minimum_due_30d": 1_000_000}),
    (
        "beyond_ability_to_pay",
        TICK,
        {"minimum_due_30d": 1_500_000, "instalments_due_30d": 600_000},
        "high",
        {"minimum_due_30d": 9_000_000, "income_estimate": 0, "expected_cash_in_30d": 0},
    ),
    (
        "confirmed_fraud",
        Kind.FRAUD_CONFIRMED,
        {"frauds": 1, "days_since_fraud": 0},
        "critical",
        {"frauds": 1, "days_since_fraud": 90},
    ),
    (
        "unfamiliar_access",
        BUY,
        {"event_new_device": 1, "event_new_city": 1, "purchases_total": 10},
        "medium",
        {"event_new_device": 1, "purchases_total": 10},
    ),
    (
        "unfamiliar_access",
        BUY,
        {"event_new_device": 1, "event_new_city": 1, "purchases_total": 10, "failed_logins_30d": 3},
        "high",
        {"event_new_device": 1, "event_new_city": 1, "purchases_total": 9, "failed_logins_30d": 3},
    ),
]


@pytest.mark.parametrize(("trigger", "kind", "fires", "severity", "_quiet"), CASES)
def test_a_trigger_fires(
    trigger: str, kind: Kind, fires: dict[str, float], severity: str, _quiet: dict[str, float]
) -> None:
    assert (trigger, "raised", severity) in warnings(Case().opened().row(kind, 1, **fires))


@pytest.mark.parametrize(("trigger", "kind", "_fires", "_severity", "quiet"), CASES)
def test_a_trigger_does_not_fire_close_by(
    trigger: str, kind: Kind, _fires: dict[str, float], _severity: str, quiet: dict[str, float]
) -> None:
    assert trigger not in {name for name, _, _ in warnings(Case().opened().row(kind, 1, **quiet))}


def test_every_trigger_of_the_default_policy_has_a_case() -> None:
    assert {trigger for trigger, *_ in CASES} == {watch.trigger.name for watch in Case().policy.watches}


def test_an_ordinary_row_warns_of_nothing() -> None:
    assert warnings(Case().opened().row(BUY, 1, amount=5_000, owed=5_000, fund_status=0)) == []


def test_a_warning_is_raised_once_and_escalated_when_it_worsens() -> None:
    case = Case().opened()
    days = [1, 3, 7, 8, 30]
    found = [warnings(case.row(TICK, day, days_past_due=day)) for day in days]
    assert [one for of_day in found for one in of_day] == [
        ("missed_due_date", "raised", "medium"),
        ("missed_due_date", "escalated", "high"),
        ("missed_due_date", "escalated", "critical"),
    ]


def test_raised_escalated_and_cleared_share_the_warning_id_and_a_new_one_has_its_own() -> None:
    case = Case().opened()
    drafts = [case.row(TICK, day, days_past_due=late) for day, late in ((1, 1), (7, 7), (9, 0), (40, 1))]
    ids = [bodies(found, "warnings")[0]["warning_id"] for found in drafts]
    statuses = [bodies(found, "warnings")[0]["status"] for found in drafts]
    assert statuses == ["raised", "escalated", "cleared", "raised"]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


def test_a_warning_stays_open_for_its_cooldown_and_flickers_not() -> None:
    case = Case().opened()
    high = {"failed_debits_30d": 1.0}
    assert warnings(case.row(TICK, 1, **high)) == [("failed_debit", "raised", "low")]
    assert warnings(case.row(TICK, 1.5)) == []
    assert warnings(case.row(TICK, 1.6, **high)) == []
    assert warnings(case.row(TICK, 2)) == [("failed_debit", "cleared", "low")]


def test_a_warning_is_cleared_only_where_its_clear_condition_holds() -> None:
    case = Case().opened()
    case.row(TICK, 1, probability=0.31)
    assert warnings(case.row(TICK, 20, probability=0.25)) == []
    assert warnings(case.row(TICK, 21, probability=0.2)) == [("default_likely", "cleared", "medium")]


def test_two_warnings_of_a_trigger_never_share_their_id_even_where_time_turns_back() -> None:
    case = Case().opened()
    ids = []
    for day, late in ((5, 1), (9, 0), (5, 1)):
        ids.append(bodies(case.row(TICK, day, days_past_due=late), "warnings")[0]["warning_id"])
    assert ids[0] == ids[1] != ids[2]


def test_the_guard_rail_bounds_new_warnings_but_never_critical_ones() -> None:
    policy = changed(("  warnings: 12", "  warnings: 1"))
    case = Case(policy).opened()
    case.row(TICK, 1, failed_debits_30d=1)
    bounded = case.row(TICK, 2, failed_debits_30d=1, fund_status=STATUS["withdrawn"])
    assert warnings(bounded) == []
    critical = case.row(TICK, 3, failed_debits_30d=1, frauds=1, days_since_fraud=0)
    assert ("confirmed_fraud", "raised", "critical") in warnings(critical)
    later = case.row(TICK, 32, failed_debits_30d=1, fund_status=STATUS["withdrawn"])
    assert ("fund_withdrawn", "raised", "medium") in warnings(later)


def test_a_warning_says_in_both_languages_what_was_seen_and_what_it_was_compared_with() -> None:
    body = bodies(Case().opened().row(TICK, 1, days_past_due=7, overdue_amount=123_456), "warnings")[0]
    reason = body["reasons"][0]
    assert reason["en"] == "1,234.56 is 7 days past due."
    assert reason["zh"] == "逾期金额 1,234.56，已逾期 7 天。"
    assert reason["evidence"][0] == {"feature": "days_past_due", "value": 7.0, "unit": "days", "threshold": 7.0}


def test_a_warning_about_the_probability_says_what_drives_it() -> None:
    body = bodies(Case().opened().row(TICK, 1, probability=0.6, owed=5_000), "warnings")[0]
    assert [reason["code"] for reason in body["reasons"]] == [
        "default_likely",
        "score:owed",
        "score:account_age_days",
    ]


def test_a_warning_of_a_warming_model_says_so() -> None:
    assert bodies(Case().warming().opened().row(TICK, 1, probability=0.6), "warnings")[0]["warming"] is True
