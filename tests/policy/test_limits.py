import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.vocabulary import Kind
from policy.row import Draft
from policy.standing import FROZEN
from tests.policy.rows import Case, Line, bodies, changed, limits, line

TICK, OPENED, CLOSED = Kind.TICK, Kind.ACCOUNT_OPENED, Kind.ACCOUNT_CLOSED
CAP = 20_000_000
#: Everything that the default policy asks of a raise.
GOOD = {
    "account_age_days": 200.0,
    "bills_due": 6.0,
    "on_time_ratio": 1.0,
    "fund_status": 0.0,
    "fund_months": 12.0,
}


def _good(case: Case, day: float, **rest: float) -> list[Draft]:
    return case.row(Kind.REPAYMENT, day, **{**GOOD, **rest})


def test_an_opened_account_has_its_first_limit_as_version_one() -> None:
    body = bodies(Case().row(OPENED, 0, amount=800_000), "limit-adjustments")[0]
    assert (body["direction"], body["new_limit"], body["limit_version"]) == ("opened", 800_000, 1)


def test_a_first_limit_is_held_to_the_cap_of_a_customer() -> None:
    body = bodies(Case().row(OPENED, 0, amount=CAP + 1), "limit-adjustments")[0]
    assert body["new_limit"] == CAP
    assert body["reasons"][0]["code"] == "account-opened-capped"


def test_an_account_is_opened_once() -> None:
    case = Case().opened()
    assert limits(case.row(OPENED, 1, amount=5)) == []


def test_a_good_payer_gets_a_raise_with_reasons() -> None:
    case = Case().opened(1_000_000)
    body = bodies(_good(case, 100), "limit-adjustments")[0]
    assert (body["direction"], body["previous_limit"], body["new_limit"]) == ("raised", 1_000_000, 1_200_000)
    assert body["limit_version"] == 2
    assert "12 months" in body["reasons"][0]["en"]
    assert body["path_back"] == ""


@pytest.mark.parametrize(
    "against",
    [
        {"consents_to_increases": 0},
        {"consents_to_automation": 0},
        {"fund_status": 1},
        {"fund_status": -1},
        {"on_time_ratio": 0.5},
        {"bills_due": 2},
        {"worst_days_past_due_90d": 1},
        {"failed_debits_90d": 1},
        {"account_age_days": 89},
        {"events_total": 0.2},
        {"expected_cash_in_30d": 300_000, "income_estimate": 300_000},
        {"expected_cash_in_30d": 0, "income_estimate": 0},
    ],
)
def test_a_raise_needs_all_of_its_grounds(against: dict[str, float]) -> None:
    case = Case().opened(1_000_000)
    assert limits(_good(case, 100, **against)) == []


def test_a_raise_stops_at_ability_to_pay() -> None:
    case = Case().opened(1_000_000)
    assert limits(_good(case, 100, expected_cash_in_30d=370_500)) == [("raised", 1_000_000, 1_110_000)]


def test_a_raise_stops_at_the_cap_of_a_customer() -> None:
    case = Case(expected_cash_in_30d=90_000_000).opened(19_000_000)
    assert limits(_good(case, 100)) == [("raised", 19_000_000, CAP)]
    assert limits(_good(case, 300)) == []


def test_a_second_raise_waits_for_its_cooldown() -> None:
    case = Case().opened(1_000_000)
    assert limits(_good(case, 100)) != []
    assert limits(_good(case, 189)) == []
    assert limits(_good(case, 191)) == [("raised", 1_200_000, 1_440_000)]


def test_an_open_warning_keeps_a_limit_from_growing() -> None:
    case = Case().opened(1_000_000)
    case.row(TICK, 99, fund_status_changes_90d=3)
    assert limits(_good(case, 100, fund_status_changes_90d=2)) == []


def test_a_serious_delay_cuts_the_limit_once_and_says_how_to_get_it_back() -> None:
    case = Case().opened(1_000_000)
    body = bodies(case.row(TICK, 10, days_past_due=7, owed=200_000), "limit-adjustments")[0]
    assert (body["direction"], body["new_limit"]) == ("cut", 700_000)
    assert body["reasons"][0]["code"] == "missed_due_date"
    assert body["path_back"].startswith("Pay the overdue amount")
    assert limits(case.row(TICK, 11, days_past_due=8, owed=200_000)) == []


def test_a_cut_stops_at_what_is_owed_and_does_nothing_beyond_it() -> None:
    owing = Case().opened(1_000_000)
    assert limits(owing.row(TICK, 10, days_past_due=7, owed=912_345)) == [("cut", 1_000_000, 912_345)]
    beyond = Case().opened(1_000_000)
    assert limits(beyond.row(TICK, 10, days_past_due=7, owed=1_100_000)) == []


def test_a_second_cut_waits_for_its_cooldown() -> None:
    case = Case().opened(1_000_000)
    case.row(TICK, 10, days_past_due=7)
    assert limits(case.row(TICK, 12, days_past_due=9, probability=0.6)) == []
    late = Case().opened(1_000_000)
    late.row(TICK, 10, days_past_due=7)
    assert limits(late.row(TICK, 25, days_past_due=22, probability=0.6)) == [("cut", 700_000, 490_000)]


def test_the_guard_rail_bounds_the_cuts_of_a_period() -> None:
    case = Case(changed(("  cuts: 2", "  cuts: 1"))).opened(1_000_000)
    case.row(TICK, 10, days_past_due=7)
    assert limits(case.row(TICK, 25, days_past_due=22, probability=0.6)) == []


def test_who_refused_automated_decisions_is_not_cut_but_warned_about_and_frozen_for_fraud() -> None:
    case = Case(consents_to_automation=0).opened(1_000_000)
    drafts = case.row(TICK, 10, days_past_due=7)
    assert limits(drafts) == []
    assert bodies(drafts, "warnings")
    assert limits(case.row(TICK, 11, frauds=1, days_since_fraud=0)) == [("frozen", 1_000_000, 0)]


def test_a_freeze_leaves_what_is_owed_and_a_restore_returns_the_limit() -> None:
    case = Case().opened(1_000_000)
    assert limits(case.row(TICK, 10, days_past_due=30, owed=300_000)) == [("frozen", 1_000_000, 300_000)]
    assert case.record["frozen"] == FROZEN
    assert limits(case.row(TICK, 12, days_past_due=0)) == []
    assert limits(case.row(TICK, 18, days_past_due=0)) == [("restored", 300_000, 1_000_000)]


def test_a_frozen_limit_does_not_come_back_while_a_freezing_warning_is_open() -> None:
    case = Case().opened(1_000_000)
    case.row(TICK, 10, frauds=1, days_since_fraud=0)
    assert limits(case.row(TICK, 60, frauds=1, days_since_fraud=50)) == []
    assert limits(case.row(TICK, 101, frauds=1, days_since_fraud=91)) == [("restored", 0, 1_000_000)]


def test_an_account_that_is_opened_late_is_frozen_at_once_where_a_warning_asks_for_it() -> None:
    case = Case()
    assert limits(case.row(TICK, 1, frauds=1, days_since_fraud=0)) == []
    drafts = case.row(OPENED, 2, amount=1_000_000, frauds=1, days_since_fraud=1)
    assert limits(drafts) == [("opened", 0, 1_000_000), ("frozen", 1_000_000, 0)]


def test_a_closed_account_keeps_what_is_owed_and_can_be_opened_again() -> None:
    case = Case().opened(1_000_000)
    assert limits(case.row(CLOSED, 10, owed=250_000)) == [("closed", 1_000_000, 250_000)]
    assert limits(case.row(CLOSED, 11, owed=250_000)) == []
    assert limits(_good(case, 100)) == []
    body = bodies(case.row(OPENED, 120, amount=500_000), "limit-adjustments")[0]
    assert (body["new_limit"], body["limit_version"]) == (500_000, 3)


def test_a_forgotten_user_leaves_no_standing_and_copies_of_the_limit_are_called_back() -> None:
    case = Case().opened(1_000_000)
    assert limits(case.row(Kind.ERASURE_REQUESTED, 10, retire=True)) == [("forgotten", 1_000_000, 0)]
    assert not case.records.view("u1").any()


def test_a_freeze_does_not_look_like_worse_use_of_credit() -> None:
    case = Case().opened(1_000_000)
    case.row(TICK, 10, days_past_due=30, owed=300_000)
    drafts = case.row(Kind.PURCHASE, 11, days_past_due=31, owed=300_000, spend_surge_30d=9)
    assert "utilisation_surge" not in [body["trigger"] for body in bodies(drafts, "warnings")]


_AMOUNTS = st.integers(0, 30_000_000)
_LINES = st.builds(
    lambda kind, amount, owed, dpd, p, cash, frauds, bad, retire: line(
        kind,
        0,
        amount=amount,
        probability=p,
        retire=retire,
        owed=owed,
        days_past_due=dpd,
        overdue_amount=min(owed, dpd * 1_000),
        expected_cash_in_30d=cash,
        income_estimate=cash,
        frauds=frauds,
        days_since_fraud=0 if frauds else 3650,
        failed_debits_30d=bad,
        **GOOD,
    ),
    kind=st.sampled_from([TICK, OPENED, CLOSED, Kind.PURCHASE, Kind.REPAYMENT, Kind.LIMIT_REQUEST]),
    amount=_AMOUNTS,
    owed=_AMOUNTS,
    dpd=st.sampled_from([0, 0, 0, 1, 7, 30]),
    p=st.sampled_from([0.02, 0.2, 0.6]),
    cash=st.sampled_from([0, 400_000, 20_000_000]),
    frauds=st.sampled_from([0, 0, 0, 0, 1]),
    bad=st.sampled_from([0, 0, 3]),
    retire=st.sampled_from([False] * 9 + [True]),
)


@settings(max_examples=30, deadline=None)
@given(lines=st.lists(_LINES, min_size=1, max_size=25), gaps=st.lists(st.integers(0, 60), min_size=25, max_size=25))
def test_limits_keep_their_promises_whatever_happens(lines: list[Line], gaps: list[int]) -> None:
    case, day, version, before_freeze = Case(), 0.0, 0, 0
    for one, gap in zip(lines, gaps, strict=False):
        day += gap
        drafts = case.judge(Line(one.kind, day, one.amount, one.retire, one.features))
        for body in bodies(drafts, "limit-adjustments"):
            previous, new = body["previous_limit"], body["new_limit"]
            assert 0 <= new <= CAP
            version += 1
            assert body["limit_version"] == version
            if body["direction"] in ("cut", "frozen", "closed"):
                assert min(previous, body["owed"]) <= new <= previous
            if body["direction"] == "cut":
                assert new < previous
            if body["direction"] == "raised":
                assert new > previous
                assert new <= 3 * one.features["expected_cash_in_30d"]
            if body["direction"] == "frozen":
                before_freeze = previous
            if body["direction"] == "restored":
                assert new == before_freeze
        if one.retire:
            version = 0


@settings(max_examples=20, deadline=None)
@given(lines=st.lists(_LINES, min_size=1, max_size=20))
def test_rows_judged_together_and_one_by_one_lead_to_the_same(lines: list[Line]) -> None:
    dated = [Line(one.kind, 9.0 * number, one.amount, one.retire, one.features) for number, one in enumerate(lines)]
    together, single = Case(), Case()
    assert together.judge(*dated) == [draft for one in dated for draft in single.judge(one)]
    assert together.records.tobytes() == single.records.tobytes()
