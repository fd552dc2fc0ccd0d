import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import WIDTH
from features.terms import Terms
from policy.policy import PolicyError, default_text, load, load_default
from scoring.inputs import LEARNED
from scoring.scorecard import Scorecard


def _problems(*replacements: tuple[str, str]) -> list[str]:
    text = default_text()
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    with pytest.raises(PolicyError) as raised:
        load(text)
    return raised.value.problems


def test_the_policy_that_ships_is_sound() -> None:
    policy = load_default()
    assert policy.name == "default"
    assert policy.terms == Terms()
    assert policy.currency == "CNY"


def test_the_version_is_the_name_and_a_hash_of_the_content_not_of_the_layout() -> None:
    policy = load_default()
    name, digest = policy.version.split("@")
    assert name == "default"
    assert len(digest) == 12
    assert load("# a comment\n" + default_text()).version == policy.version
    assert load(default_text().replace("to_share: 0.7", "to_share: 0.6")).version != policy.version


def test_several_problems_are_reported_at_once_each_with_line_place_and_expectation() -> None:
    problems = _problems(
        ("amount_zscore >= 3", "amount_zscor >= 3"),
        ("cooldown: 3d", "cooldown: 3 days"),
        ("severity: high", "severity: grave"),
        ("retention_days", "retention_dais"),
        ("{event_amount} is", "{event_amout} is"),
        ("    action: decline_purchase\n", ""),
    )
    text = "\n".join(problems)
    assert (
        "triggers[0].levels[0].when: column 28: unknown feature `amount_zscor`; did you mean `amount_zscore`?" in text
    )
    assert "triggers[0].cooldown: expected a duration as in 30m, 12h or 7d, found '3 days'" in text
    assert (
        "triggers[0].levels[1].severity: Input should be 'low', 'medium', 'high' or 'critical', found 'grave'" in text
    )
    assert "terms.retention_dais: unknown field; did you mean `retention_days`?" in text
    assert "triggers[0].reason.en: unknown feature `event_amout`; did you mean `event_amount`?" in text
    assert "triggers[3].action: is missing; the field is required" in text
    line = next(number for number, line in enumerate(default_text().splitlines(), 1) if "amount_zscore >= 3 " in line)
    assert any(problem.startswith(f"line {line}: triggers[0].levels[0].when") for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  - id: 2\n", "  - id: 1\n", "triggers[1].id: id 1 is already that of `abnormal_spending`"),
        ("  - id: 2\n", "  - id: 32\n", "triggers[1].id: id 32 is already that of `review`"),
        ("name: spending_velocity", "name: abnormal_spending", "`abnormal_spending` is already taken"),
        ("name: spending_velocity", "name: review", "`review` is already taken"),
        ("from_days: 7", "from_days: 8", "8 is none of terms.stage_days (1, 7, 15, 30, 60, 90)"),
        ("default_days: 30", "default_days: 45", "expected one of terms.stage_days"),
        ("from_hour: 9", "from_hour: 21", "expected from_hour to be before until_hour"),
        ("severity: medium, when: days_past_due", "severity: critical, when: days_past_due", "more severe"),
        ("id: 2\n", "id: 33\n", "less than or equal to 32, found 33"),
        ("to_share: 0.7", "to_share: .nan", "less than 1"),
        ("cap: 20_000_000", "cap: -1", "greater than or equal to 0, found -1"),
        ("leave: default_probability < 0.1}", "leave: default_probability}", "expected a condition, found the number"),
        ("ability_to_pay: 3 *", "ability_to_pay: 3 <", "expected a number, found a condition"),
        ("utc_offset: 8h", "utc_offset: 80h", "less than or equal to 50400"),
        ("{utilisation} of the", "{utilisation:.2f} of the", "takes no format"),
        ("{utilisation} of the", "{utilisation of the", "a placeholder cannot be read"),
        ("evidence: [default_probability]", "evidence: [probability]", "unknown feature `probability`"),
    ],
)
def test_a_contradiction_is_refused(old: str, new: str, expected: str) -> None:
    assert expected in "\n".join(_problems((old, new)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the policy is empty"),
        ("a: [1", "line 1, column 6: not valid YAML"),
        ("name: x\nname: y", "line 2: `name` is given twice"),
        ("a: &x [1]\nb: *x", "line 2: aliases are not allowed"),
        ("[" * 30 + "]" * 30, "nested more than 20 deep"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        ("a: !!timestamp x", "line 1: tags are not allowed"),
        ("a: !!bool maybe", "line 1: tags are not allowed"),
        ("a: !!int ''", "line 1: tags are not allowed"),
        ("a: [" + "1," * 10_000 + "]", "line 1: more than 10000 names and values"),
        ("\n".join(f"name{i}: 1" for i in range(200)), "and 107 more"),
        (f"{'n' * 900}: 1", "n..."),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("[1, 2]", "valid dictionary"),
        ("x" * 1_000_001, "expected at most 1000000"),
        ("a: \x00", "not valid YAML"),
        ("? [a, b]\n: c", "line 1: expected a name before the colon"),
    ],
)
def test_text_that_is_no_policy_is_refused_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load(text)
    assert expected in "\n".join(raised.value.problems)


@given(text=st.text(max_size=200))
def test_any_text_is_refused_with_problems_never_with_another_error(text: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load(text)
    assert raised.value.problems


def test_what_a_policy_says_of_money_is_limited_to_what_a_message_can_carry() -> None:
    assert "4000000000" in "\n".join(_problems(("cap: 20_000_000", "cap: 99_000_000_000")))


def test_every_input_that_a_score_can_be_explained_by_has_a_name_in_both_languages() -> None:
    model = Scorecard()
    names, _ = model.weigh(np.zeros((1, WIDTH)))
    assert set(names) | set(LEARNED) <= set(load_default().document.labels)
