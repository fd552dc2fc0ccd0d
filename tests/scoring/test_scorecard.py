import math

import numpy as np
import pytest

from features.catalogue import FEATURES, INDEX, WIDTH
from features.record import MODEL_INPUTS_MAX
from scoring.inputs import INPUTS, JUDGED, LEARNED
from scoring.points import REFERENCE_LIMIT, Unless, Value
from scoring.scorecard import BASE_LOG_ODDS, CHARACTERISTICS, Characteristic, Scorecard
from tests.scoring.rows import GOOD, random_rows, row

SCORE = Scorecard()


def probability(**values: float) -> float:
    return float(SCORE.probability(row({**GOOD, **values}))[0])


def test_a_user_of_whom_nothing_is_known_does_not_look_safe() -> None:
    unknown = float(SCORE.probability(row())[0])
    assert unknown > 2 * probability()
    assert unknown > 0.1


def test_a_record_of_all_zeros_does_not_look_safe() -> None:
    assert SCORE.probability(np.zeros((1, WIDTH)))[0] > 2 * probability()


def test_an_account_without_known_limit_does_not_look_safer_for_it() -> None:
    assert probability(limit=0, starting_limit=0, limit_known=0) > probability()


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("missed_bills_recent", (0, 0.6, 1, 1.6, 2.3)),
        ("last_bill_late_days", (-20, 0, 3, 8)),
        ("failed_debits_90d", (0, 1, 2)),
        ("owed", (100, 300_000, 2_800_000, 3_300_000)),
        ("fund_status", (0, 1)),
        ("days_since_purchase", (5, 30, 90)),
        ("debt_to_income", (1, 8, 20)),
        ("cash_like_share_90d", (0, 0.5, 0.9)),
        ("gambling_share_90d", (0, 0.2, 0.5)),
        ("market_index", (0.8, 1, 1.5)),
    ],
)
def test_more_of_a_bad_sign_is_never_safer(feature: str, values: tuple[float, ...]) -> None:
    scored = [probability(**{feature: value}) for value in values]
    assert scored == sorted(scored)
    assert scored[-1] > scored[0]


def test_an_account_without_debt_is_not_safe_for_that() -> None:
    assert probability(owed=0) > probability()


def test_days_past_due_count_only_as_far_as_nothing_came_in() -> None:
    paying = probability(days_past_due=80, days_since_repayment=5)
    silent = probability(days_past_due=80, days_since_repayment=85)
    assert silent > 3 * paying


def test_a_cut_of_our_own_does_not_make_a_client_look_worse() -> None:
    assert probability(limit=0) == probability()
    assert probability(limit=1_000_000) == probability()


def test_the_lines_and_the_base_add_up_to_the_score() -> None:
    features = row({**GOOD, "missed_bills_recent": 1.6, "fund_status": 1})
    total = BASE_LOG_ODDS + sum(points for _, points in SCORE.contributions(features[0]))
    assert SCORE.probability(features)[0] == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-12)


def test_the_riskiest_line_comes_first() -> None:
    assert SCORE.contributions(row({**GOOD, "missed_bills_recent": 2.2})[0])[0][0] == "missed_bills_recent"


def test_a_row_scores_the_same_bits_alone_and_among_others() -> None:
    rows = random_rows(1_003, seed=1)
    together = SCORE.probability(rows)
    alone = np.concatenate([SCORE.probability(rows[i : i + 1]) for i in range(len(rows))])
    assert together.tobytes() == alone.tobytes()


def test_every_probability_is_strictly_between_0_and_1() -> None:
    scored = SCORE.probability(random_rows(2_000, seed=2))
    assert np.all((scored > 0) & (scored < 1))


def test_inputs_are_features_once_each_and_fit_in_the_record() -> None:
    assert set(INPUTS) <= set(INDEX)
    assert len(set(INPUTS)) == len(INPUTS) <= MODEL_INPUTS_MAX
    assert not {feature.name for feature in FEATURES if feature.owner == "score"} & set(INPUTS)


def test_the_scorecard_reads_all_that_it_declares() -> None:
    changed = {name for name in JUDGED for value in (0.5, 1, 50, 1e9) if probability(**{name: value}) != probability()}
    changed |= {"starting_limit", "days_since_repayment"}  # tested above: they count only together with others
    assert set(JUDGED) == changed
    assert all(low < high for low, high in LEARNED.values())


def test_every_line_says_why_and_its_points_are_in_order() -> None:
    for line in CHARACTERISTICS:
        assert line.why
        at = [value for value, _ in line.points]
        assert at == sorted(set(at))


def _points(line: Characteristic, value: dict[str, float]) -> float:
    """The same as plain Python has it."""
    limit = max(value["limit"], value["starting_limit"])
    if Unless.UNJUDGED in line.unless and value["judged_bills"] == 0:
        return 0.0
    if Unless.NO_LIMIT in line.unless and limit <= 0:
        return 0.0
    judged = {
        Value.OWN: lambda: value[line.feature],
        Value.SILENT_DAYS: lambda: min(value["days_past_due"], value["days_since_repayment"]),
        Value.REPAID_SHARE: lambda: value["repaid_90d"] / max(limit, 1.0),
        Value.UTILISATION: lambda: value["owed"] / limit if limit > 0 else float(value["owed"] > 0),
        Value.LIMIT_LOG: lambda: math.log(max(limit, 1.0) / REFERENCE_LIMIT),
        Value.FUND_TROUBLE: lambda: float(value["fund_status"] in (1, 2, 4)),
        Value.MARKET_LOG: lambda: math.log(max(value["market_index"], 1e-3)),
    }[line.value]()
    at, points = np.array(line.points).T
    return float(np.interp(judged, at, points))


def test_every_line_is_worth_what_its_points_say() -> None:
    rows = random_rows(500, seed=3)
    rows[:20, INDEX["limit"]] = rows[:20, INDEX["starting_limit"]] = 0.0
    _, points = SCORE.weigh(rows)
    for row_, worth in zip(rows, points, strict=True):
        value = {name: float(row_[INDEX[name]]) for name in JUDGED}
        assert worth.tolist() == pytest.approx([_points(line, value) for line in CHARACTERISTICS], abs=1e-12)


@pytest.mark.parametrize("name", JUDGED)
def test_an_input_that_is_no_number_makes_no_probability_or_does_not_count(name: str) -> None:
    scored = probability(**{name: np.nan})
    assert np.isnan(scored) or name in {"fund_status"}
