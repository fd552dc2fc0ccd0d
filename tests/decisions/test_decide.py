import json
from typing import Any

import numpy as np
import pytest

from decisions.decide import decide
from features.record import RECORD
from messages.outputs import DECISION_TOPICS, Decision
from policy.policy import default_text, load
from scoring.scorecard import Scorecard
from store.memory import MemoryStore
from store.projection import limit_views
from tests.decisions.streams import (
    DAY,
    START,
    Desk,
    account,
    bill,
    decode,
    event,
    fund,
    of,
    purchase,
    random_stream,
    repayment,
    request,
)


@pytest.fixture(scope="module")
def busy() -> Desk:
    desk = Desk()
    desk.run_events(decode(random_stream(3, users=20, count=2_000)), 500)
    return desk


def _decisions(desk: Desk) -> list[Decision]:
    return [DECISION_TOPICS[message.topic].model_validate_json(message.value) for message in desk.messages]


def test_every_decision_keeps_its_contract(busy: Desk) -> None:
    decided = _decisions(busy)
    assert {type(one) for one in decided} == set(DECISION_TOPICS.values())
    for message, one in zip(busy.messages, decided, strict=True):
        assert message.key == one.user_id.encode()
        assert dict(message.headers)["ce_id"] == one.id.encode()


def test_no_two_decisions_share_an_id(busy: Desk) -> None:
    ids = [one.id for one in _decisions(busy)]
    assert len(set(ids)) == len(ids)


def test_every_decision_names_what_it_answers(busy: Desk) -> None:
    for one in _decisions(busy):
        timer = one.cause.timer is not None
        assert timer == (one.cause.topic == "") == (one.cause.event_id == "")
        if timer:
            assert one.time == one.cause.timer
        assert one.policy.startswith("default@")
        assert one.model == "scorecard-1"


async def test_limit_versions_of_a_user_grow_by_one_and_the_projection_has_the_newest(busy: Desk) -> None:
    newest: dict[str, int | None] = {}
    store = MemoryStore()
    await store.project_limits(limit_views(busy.messages))
    for one in _decisions(busy):
        if one.model_dump()["type"] == "limit_adjustment":
            version = one.model_dump()["limit_version"]
            # A user who was forgotten and comes back starts anew.
            assert version == (newest.get(one.user_id) or 0) + 1
            newest[one.user_id] = None if one.model_dump()["direction"] == "forgotten" else version
    views = {user: await store.limit_of(user) for user in newest}
    assert {user: view and view.version for user, view in views.items()} == newest
    assert None in newest.values()


def test_each_warning_goes_from_raised_over_escalated_to_cleared(busy: Desk) -> None:
    history: dict[str, list[str]] = {}
    severity: dict[str, int] = {}
    ranks = {"low": 1, "medium": 2, "high": 3, "critical": 4}
    for message in busy.messages:
        one = json.loads(message.value)
        if one["type"] == "warning":
            history.setdefault(one["warning_id"], []).append(one["status"])
            if one["status"] == "escalated":
                assert ranks[one["severity"]] > severity[one["warning_id"]]
            severity[one["warning_id"]] = ranks[one["severity"]]
    for statuses in history.values():
        assert statuses[0] == "raised"
        assert statuses.count("raised") == 1
        assert "cleared" not in statuses[:-1]


def _late_payer(user: str = "late") -> list[dict[str, Any]]:
    return [
        account(user, 0),
        purchase(user, DAY, 300_000),
        bill(user, 10 * DAY, "b1", 300_000, due=20 * DAY),
    ]


def test_an_unpaid_due_date_is_warned_about_by_a_timer_without_any_event_of_the_user() -> None:
    desk = Desk()
    desk.run([*_late_payer(), account("other", 0)])
    decisions = desk.run([purchase("other", 20.5 * DAY, 1_000)])
    raised = of(decisions, "warning", trigger="missed_due_date", user_id="late")
    assert [one["status"] for one in raised] == ["raised"]
    assert raised[0]["cause"]["timer"] == (START + 20 * DAY + 1) * 1000
    assert of(decisions, "collection_action", action="reminder", user_id="late")


def test_the_clock_wakes_timers_where_no_event_comes() -> None:
    desk = Desk()
    desk.run(_late_payer())
    outcome = desk.work_off(decode([]), clock=(START + 22 * DAY) * 1000)
    assert ("warnings", "missed_due_date", "raised") in outcome.counts
    assert outcome.watermark == START + 22 * DAY - 3_600


def test_a_repayment_stops_collection_and_clears_the_warning() -> None:
    desk = Desk()
    desk.run([*_late_payer(), account("other", 0), purchase("other", 22 * DAY, 1_000)])
    decisions = desk.run([repayment("late", 23 * DAY, "b1", 300_000)])
    assert of(decisions, "collection_action", action="stop")
    assert of(decisions, "warning", trigger="missed_due_date", status="cleared")


def test_a_default_matures_the_vector_as_it_was_scored() -> None:
    desk = Desk()
    desk.run([*_late_payer(), account("other", 0)])
    stored = desk.standing("late")["example_inputs"].copy()
    assert stored.any()
    decisions = desk.run([purchase("other", 55 * DAY, 1_000)])
    message = of(decisions, "training_example", user_id="late")[0]
    assert message["label"] is True
    assert message["scored_time"] == (START + 10 * DAY) * 1000
    assert tuple(message["inputs"]) == tuple(sorted(Scorecard().inputs))
    example = next(one for one in desk.examples if one.user == "late")
    assert example.label
    assert example.inputs.tolist() == stored[: len(example.inputs)].tolist()
    assert [message["inputs"][name] for name in Scorecard().inputs] == [float(value) for value in example.inputs]


def test_a_paid_bill_matures_as_no_default_when_its_horizon_has_passed() -> None:
    desk = Desk()
    stream = [*_late_payer("good"), repayment("good", 15 * DAY, "b1", 300_000), account("other", 0)]
    desk.run(stream)
    assert desk.examples == []
    desk.run([purchase("other", 75 * DAY, 1_000)])
    assert [(one.user, one.label) for one in desk.examples] == [("good", False)]


def test_a_vector_of_other_inputs_is_counted_not_silently_dropped() -> None:
    desk = Desk()
    desk.run([*_late_payer(), account("other", 0)])
    desk.records["example_schema"] ^= 1
    desk.run([purchase("other", 55 * DAY, 1_000)])
    assert desk.examples == []
    assert desk.counts["training-examples", "dropped", "schema"] == 1


def test_a_repeated_event_decides_nothing() -> None:
    desk = Desk()
    asked = request("u", DAY, 2_000_000)
    desk.run([account("u"), asked])
    assert desk.run([asked]) == []


def test_a_request_is_answered_under_its_own_name() -> None:
    desk = Desk()
    answers = of(desk.run([account("u"), request("u", DAY, 900_000)]), "limit_decision")
    assert [(one["request_id"], one["outcome"]) for one in answers] == [(f"q{DAY}", "approved")]


def test_a_forgotten_user_is_retired_and_one_who_comes_back_in_the_batch_is_not() -> None:
    gone = [account("gone"), event("erasure_requested", "gone", DAY)]
    desk = Desk()
    outcome = desk.work_off(
        decode([*gone, account("back"), event("erasure_requested", "back", DAY), fund("back", DAY + 5)])
    )
    assert [desk.users[row] for row in outcome.retired] == ["gone"]
    assert [desk.users[row] for row in outcome.touched.tolist()] == ["back"]


def test_scores_have_one_entry_for_each_applied_event() -> None:
    desk = Desk()
    stream = [account("u"), purchase("u", DAY, 5_000), fund("u", 2 * DAY)]
    outcome = desk.work_off(decode([*stream, stream[1]]))
    assert outcome.scores.event.tolist() == [0, 1, 2]
    assert outcome.scores.limit.tolist() == [1_000_000] * 3
    assert (outcome.scores.grade > 0).all()
    assert outcome.disposition.tolist() == [1, 1, 1, 0]
    assert ((outcome.scores.default_probability > 0) & (outcome.scores.default_probability < 1)).all()


def test_an_empty_batch_is_nothing() -> None:
    desk = Desk()
    outcome = decide(np.zeros(0, RECORD), decode([]), [], desk.in_force, 0)
    assert outcome.decisions == []
    assert len(outcome.touched) == 0


#: Expressions that fail on some rows, and one that always does.
_FAILING = ("1 / spend_sum_1h > 0", "owed / unbilled < 2", "1 / (limit - limit) == 0")


@pytest.mark.parametrize("failing", _FAILING)
@pytest.mark.parametrize(
    "place",
    [
        "clear_when: days_past_due == 0",
        "when: days_past_due == 0\n    cooldown: 7d",
        "leave: default_probability < 0.1}",
        "ability_to_pay: 3 * max(0, expected_cash_in_30d - instalments_due_30d)",
        "{severity: high, when: judged_bills >= 1 and default_probability >= 0.5, limit: cut}",
    ],
)
def test_an_error_while_deciding_never_lowers_risk(place: str, failing: str) -> None:
    text = default_text()
    assert place in text
    number = "ability_to_pay" in place
    old = place.split(": ", 1)[1] if number else _condition_of(place)
    broken = load(text.replace(place, place.replace(old, "1 / (limit - limit)" if number else failing), 1))
    stream = random_stream(4, users=6, count=500)
    sound, doubtful = Desk(), Desk(policy=broken)
    sound.run(stream)
    decisions = doubtful.run(stream)
    reviews = of(decisions, "warning", trigger="review")
    assert reviews
    assert reviews[0]["reasons"][0]["code"] == "evaluation-error"
    assert any(code.startswith("evaluation-error:") for code in (one["code"] for one in reviews[0]["reasons"]))
    if failing == _FAILING[-1] or number:
        assert not of(decisions, "limit_adjustment", direction="raised")
        assert not of(decisions, "limit_adjustment", direction="restored")
        assert not of(decisions, "warning", trigger="review", status="cleared")


def _condition_of(place: str) -> str:
    start = place.split("when: ", 1)[-1].split("leave: ", 1)[-1]
    return start.split("\n")[0].split(",")[0].rstrip("}")
