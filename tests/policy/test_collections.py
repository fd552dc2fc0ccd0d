from messages.vocabulary import Kind
from policy.collections import earliest_contact
from policy.document import Contact
from tests.policy.rows import START, Case, bodies, changed

TICK = Kind.TICK
HOUR = 3_600
CONTACT = Contact(from_hour=9, until_hour=20)


def _steps(case: Case, *path: tuple[float, float]) -> list[tuple[str, str] | None]:
    found = []
    for day, late in path:
        actions = bodies(case.row(TICK, day, days_past_due=late, overdue_amount=late * 100), "collection-actions")
        found.append((actions[0]["step"], actions[0]["action"]) if actions else None)
    return found


def test_steps_follow_days_past_due_and_stop_on_repayment() -> None:
    assert _steps(Case(), (1, 1), (2, 2), (7, 7), (30, 30), (31, 0), (32, 0)) == [
        ("friendly_reminder", "reminder"),
        None,
        ("phone_call", "call"),
        ("restructuring", "restructuring_offer"),
        ("restructuring", "stop"),
        None,
    ]


def test_a_step_that_was_missed_is_not_made_up_for() -> None:
    assert _steps(Case(), (1, 31), (2, 32)) == [("restructuring", "restructuring_offer"), None]


def test_an_account_that_is_current_is_left_alone() -> None:
    assert _steps(Case(), (1, 0)) == [None]


def test_contact_keeps_to_the_local_hours() -> None:
    midnight = 19_700 * 24 * HOUR - 8 * HOUR  # local midnight, eight hours ahead of UTC
    for of_day, expected in ((0, 9), (8.5, 9), (9, 9), (15, 15), (19.99, 19.99), (20, 33), (23, 33)):
        time = midnight + int(of_day * HOUR)
        assert earliest_contact(CONTACT, time, 8 * HOUR) == midnight + int(expected * HOUR)


def test_the_next_contact_keeps_its_distance_from_the_last() -> None:
    case = Case(changed(("gap: 1d", "gap: 10d")))
    case.row(TICK, 0.2, days_past_due=1)
    action = bodies(case.row(TICK, 6.2, days_past_due=7), "collection-actions")[0]
    first = START + 0.2 * 24 * HOUR
    assert action["earliest_contact"] / 1000 >= first + 10 * 24 * HOUR


def test_a_legal_referral_is_no_contact_and_needs_no_hour() -> None:
    case = Case()
    action = bodies(case.row(TICK, 100.8, days_past_due=90), "collection-actions")[0]
    assert action["action"] == "legal_referral"
    assert action["earliest_contact"] == int(START + 100.8 * 24 * HOUR) * 1000


def test_a_step_whose_condition_cannot_be_evaluated_is_not_taken_but_reviewed() -> None:
    policy = changed(("      from_days: 7\n", "      from_days: 7\n      when: 1 / spend_sum_1h > 0\n"))
    case = Case(policy)
    drafts = case.row(TICK, 7, days_past_due=7, overdue_amount=5)
    assert bodies(drafts, "collection-actions")[0]["step"] == "friendly_reminder"
    assert "review" in [body["trigger"] for body in bodies(drafts, "warnings")]
