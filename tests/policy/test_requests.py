from typing import Any

import pytest

from messages.vocabulary import Kind
from tests.policy.rows import Case, bodies, changed, limits


def _ask(case: Case, asked: int, day: float = 100, **features: float) -> dict[str, Any]:
    answers = bodies(case.row(Kind.LIMIT_REQUEST, day, amount=asked, bills_due=5, **features), "limit-decisions")
    assert len(answers) == 1
    return answers[0]


def _short(answer: dict[str, Any]) -> tuple[str, str, int]:
    return answer["outcome"], answer["reasons"][0]["code"], answer["approved_limit"]


def test_a_request_within_ability_to_pay_is_approved_and_raises_the_limit() -> None:
    case = Case().opened(1_000_000)
    drafts = case.row(Kind.LIMIT_REQUEST, 100, amount=1_234_567, bills_due=5)
    assert limits(drafts) == [("raised", 1_000_000, 1_234_567)]
    answer = bodies(drafts, "limit-decisions")[0]
    assert _short(answer) == ("approved", "within-ability-to-pay", 1_234_567)
    assert answer["limit_version"] == 2
    assert answer["request_id"] == "ref"


def test_a_request_beyond_ability_to_pay_is_granted_as_far_as_it_goes() -> None:
    case = Case(expected_cash_in_30d=405_000).opened(1_000_000)
    assert _short(_ask(case, 5_000_000)) == ("partly_approved", "ability-to-pay", 1_210_000)


def test_a_request_beyond_the_cap_is_granted_up_to_the_cap() -> None:
    case = Case(expected_cash_in_30d=90_000_000).opened(1_000_000)
    assert _short(_ask(case, 25_000_000)) == ("partly_approved", "absolute-cap", 20_000_000)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"expected_cash_in_30d": 0.0}, ("declined", "ability-to-pay")),
        ({"consents_to_automation": 0.0}, ("review", "automation-refused")),
        ({"events_total": 0.5}, ("declined", "open-warning")),
        ({"events_total": 0.36}, ("declined", "grade")),
        ({"worst_days_past_due_90d": 7.0}, ("declined", "policy")),
        ({"frauds": 1.0, "days_since_fraud": 1.0}, ("declined", "frozen")),
    ],
)
def test_a_request_is_not_approved_where_something_speaks_against_it(
    features: dict[str, float], expected: tuple[str, str]
) -> None:
    case = Case().opened(1_000_000)
    answer = _ask(case, 2_000_000, **features)
    assert _short(answer)[:2] == expected
    assert answer["approved_limit"] <= 1_000_000


def test_a_request_that_the_limit_covers_is_approved_without_a_change() -> None:
    case = Case().opened(1_000_000)
    drafts = case.row(Kind.LIMIT_REQUEST, 100, amount=900_000, bills_due=5)
    assert limits(drafts) == []
    assert _short(bodies(drafts, "limit-decisions")[0]) == ("approved", "within-limit", 1_000_000)


def test_a_request_without_an_account_is_declined() -> None:
    assert _short(_ask(Case(), 900_000)) == ("declined", "no-account", 0)
    case = Case().opened()
    case.row(Kind.ACCOUNT_CLOSED, 1)
    assert _short(_ask(case, 900_000)) == ("declined", "no-account", 0)


def test_a_second_raise_by_request_waits_for_its_cooldown() -> None:
    case = Case().opened(1_000_000)
    assert _short(_ask(case, 1_100_000, day=100))[0] == "approved"
    assert _short(_ask(case, 1_200_000, day=129)) == ("declined", "changed-recently", 1_100_000)
    assert _short(_ask(case, 1_200_000, day=131))[0] == "approved"


def test_a_new_customer_of_a_warming_model_is_reviewed() -> None:
    case = Case().warming().opened(1_000_000)
    answer = bodies(case.row(Kind.LIMIT_REQUEST, 9, amount=2_000_000, bills_due=0), "limit-decisions")[0]
    assert _short(answer) == ("review", "review", 1_000_000)


def test_a_request_that_cannot_be_judged_is_reviewed() -> None:
    policy = changed(("decline_when: days_past_due >= 1", "decline_when: 1 / spend_sum_1h > 2"))
    assert _short(_ask(Case(policy).opened(1_000_000), 2_000_000)) == ("review", "evaluation-error", 1_000_000)


def test_two_requests_in_one_batch_see_each_other() -> None:
    from tests.policy.rows import line

    case = Case().opened(1_000_000)
    asks = [line(Kind.LIMIT_REQUEST, 100, amount=amount, bills_due=5) for amount in (1_500_000, 2_000_000, 1_400_000)]
    answers = bodies(case.judge(*asks), "limit-decisions")
    assert [_short(answer)[:2] for answer in answers] == [
        ("approved", "within-ability-to-pay"),
        ("declined", "changed-recently"),
        ("approved", "within-limit"),
    ]
