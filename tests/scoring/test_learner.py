import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.evaluation import auc
from scoring.inputs import INPUTS, POSITIONS, SCHEMA_HASH
from scoring.learner import Learner
from scoring.logistic import REGRESSORS, Logistic, OtherSchema, regressors
from scoring.scorecard import Scorecard, log_odds
from tests.scoring.rows import GOOD, inputs_of, random_rows, row


def accounts(count: int, seed: int) -> NDArray[np.float64]:
    """Rows f8[count, WIDTH] of plausible accounts, from punctual to silent."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            row(
                {
                    **GOOD,
                    "missed_bills_recent": float(rng.choice([0, 0, 0, 0.6, 1, 1.96])),
                    "last_bill_late_days": float(rng.integers(-12, 8)),
                    "owed": float(rng.integers(0, 3_300_000)),
                    "cash_like_share_90d": float(rng.random() / 5),
                    "gift_card_share_90d": float(rng.random() / 2),
                }
            )
            for _ in range(count)
        ]
    )


def taught(count: int, seed: int, shift: float = -0.5, slope: float = 1.0, gift: float = 0.0) -> Learner:
    """A learner of labels drawn with log-odds shift + slope * scorecard + gift * gift-card share."""
    rng = np.random.default_rng(seed)
    inputs = inputs_of(accounts(count, seed))
    truth = shift + slope * log_odds(inputs) + gift * inputs[:, POSITIONS["gift_card_share_90d"]]
    learner = Learner()
    learner.learn_many(inputs, (rng.random(count) < 1 / (1 + np.exp(-truth))).tolist())
    return learner


@pytest.mark.parametrize("seed", range(5))
def test_the_compiled_score_equals_rivers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    learner = Learner()
    learner.learn_many(inputs_of(random_rows(150, seed)), (rng.random(150) < 0.3).tolist())
    features = np.concatenate([random_rows(200, seed + 100), accounts(200, seed)])
    rivers = [
        learner.predict(dict(zip(REGRESSORS, values, strict=True))) for values in regressors(inputs_of(features)).T
    ]
    np.testing.assert_allclose(learner.snapshot().probability(features), rivers, rtol=0, atol=1e-9)


def test_a_learner_without_examples_scores_as_the_scorecard_does() -> None:
    features = accounts(300, seed=3)
    untaught = Learner().snapshot()
    np.testing.assert_allclose(untaught.probability(features), Scorecard().probability(features), atol=1e-12)


def test_an_untaught_learner_is_warming_and_the_scorecard_decides() -> None:
    learner = Learner()
    assert learner.warming
    assert learner.snapshot().warming
    assert isinstance(learner.champion(), Scorecard)
    assert learner.champion().warming


def test_many_negatives_without_a_positive_leave_it_warming() -> None:
    learner = Learner()
    learner.learn_many(inputs_of(accounts(400, seed=4)), [False] * 400)
    assert learner.warming


def test_after_enough_labels_the_learned_model_decides() -> None:
    learner = taught(3_000, seed=5, shift=1.0)
    assert not learner.warming
    champion = learner.champion("v7")
    assert isinstance(champion, Logistic)
    assert (champion.version, champion.warming) == ("v7", False)


def test_the_probability_moves_to_the_level_of_the_book() -> None:
    learner = taught(6_000, seed=6, shift=1.5)
    features = accounts(2_000, seed=60)
    truth = 1 / (1 + np.exp(-(1.5 + log_odds(inputs_of(features)))))
    learned = abs(learner.snapshot().probability(features).mean() - truth.mean())
    assert learned < 0.03
    assert learned < abs(Scorecard().probability(features).mean() - truth.mean()) / 4


def test_what_the_scorecard_does_not_judge_is_learned() -> None:
    learner = taught(8_000, seed=7, gift=4.0)
    features = accounts(2_000, seed=70)
    inputs = inputs_of(features)
    truth = -0.5 + log_odds(inputs) + 4.0 * inputs[:, POSITIONS["gift_card_share_90d"]]
    labels = np.random.default_rng(70).random(2_000) < 1 / (1 + np.exp(-truth))
    assert auc(labels, learner.snapshot().probability(features)) > auc(labels, log_odds(inputs)) + 0.02


def test_labels_that_contradict_the_scorecard_never_turn_the_ranking_round() -> None:
    learner = taught(4_000, seed=8, shift=-4.0, slope=-1.0)
    assert learner.warming
    assert isinstance(learner.champion(), Scorecard)


def test_a_restored_learner_goes_on_with_equal_bits() -> None:
    whole, first = taught(500, seed=9), taught(500, seed=9)
    restored = Learner.restore(json.loads(json.dumps(first.state())))
    later = inputs_of(accounts(200, seed=90))
    whole.learn_many(later, [False] * 200)
    for vector in later:
        restored.learn(vector, label=False)
    assert restored.state() == whole.state()
    assert restored.snapshot() == whole.snapshot()


def test_examples_are_learned_in_the_order_of_scoring_whenever_they_matured() -> None:
    inputs = inputs_of(accounts(300, seed=20))
    labels = np.arange(300) % 6 == 0
    scored = np.arange(1, 301)
    in_order, as_matured = Learner(), Learner()
    in_order.learn_many(inputs[:-1], labels[:-1].tolist())
    matured = np.argsort(np.where(labels, scored + 35, scored + 60), kind="stable")
    as_matured.learn_many(inputs[matured], labels[matured].tolist(), scored[matured].tolist())
    # The newest negative itself still waits: more may have been scored with it.
    assert as_matured.snapshot("v") == in_order.snapshot("v")


def test_a_block_of_early_defaults_does_not_move_the_probability_before_its_cohort_has_closed() -> None:
    learner, before = Learner(), Learner().snapshot("v")
    vectors = inputs_of(accounts(50, seed=21))
    learner.learn_many(vectors, [True] * 50, [7] * 50)
    assert learner.snapshot("v") == before
    learner.learn_many(vectors[:2], [False, False], [7, 8])
    assert (learner.examples, learner.positives) == (51, 50)


def test_what_waits_survives_a_restart() -> None:
    whole = Learner()
    vectors = inputs_of(accounts(60, seed=22))
    whole.learn_many(vectors[:40], [True] * 40, list(range(40)))
    restored = Learner.restore(json.loads(json.dumps(whole.state())))
    for learner in (whole, restored):
        learner.learn_many(vectors[40:], [False] * 20, list(range(20, 40)))
    assert whole.examples > 30
    assert restored.state() == whole.state()


def test_a_state_of_other_inputs_is_refused() -> None:
    with pytest.raises(OtherSchema):
        Learner.restore(Learner().state() | {"inputs": ["owed"]})


def test_a_vector_that_is_not_finite_teaches_nothing() -> None:
    learner, before = Learner(), Learner().state()
    learner.learn(np.full(len(INPUTS), np.nan), label=True)
    assert learner.state() == before | {"refused": 1}


def test_a_vector_as_long_as_the_records_field_is_cut_to_the_inputs() -> None:
    learner = Learner()
    learner.learn(np.zeros(40, np.float32), label=True)
    assert learner.examples == 1
    with pytest.raises(OtherSchema):
        learner.learn(np.zeros(3), label=True)


def test_parameters_make_the_same_model_again() -> None:
    model = taught(300, seed=10).snapshot("v1")
    again = Logistic.from_parameters("v1", model.inputs, json.loads(json.dumps(model.parameters())))
    features = accounts(50, seed=11)
    assert again.probability(features).tobytes() == model.probability(features).tobytes()
    with pytest.raises(OtherSchema):
        Logistic.from_parameters("v1", ("owed",), model.parameters())


def test_parameters_that_are_not_finite_are_refused() -> None:
    parameters = taught(10, seed=10).snapshot().parameters() | {"intercept": (math.nan,)}
    with pytest.raises(ValueError, match="finite"):
        Logistic.from_parameters("v1", INPUTS, parameters)


def test_scorecard_and_learned_model_share_their_inputs() -> None:
    assert Learner().snapshot().inputs == Scorecard().inputs == INPUTS
    assert Learner().snapshot().schema_hash == Scorecard().schema_hash == SCHEMA_HASH != 0


def test_a_row_scores_the_same_bits_alone_and_among_others() -> None:
    model, rows = taught(400, seed=12).snapshot(), random_rows(501, seed=12)
    together = model.probability(rows)
    alone = np.concatenate([model.probability(rows[i : i + 1]) for i in range(len(rows))])
    assert together.tobytes() == alone.tobytes()


def test_contributions_of_the_learned_model_differ_as_its_log_odds_do() -> None:
    model = taught(2_000, seed=13, gift=2.0).snapshot()
    features = accounts(2, seed=14)
    first, second = (sum(value for _, value in model.contributions(one)) for one in features)
    odds = np.log(model.probability(features) / (1 - model.probability(features)))
    assert first - second == pytest.approx(odds[0] - odds[1], abs=1e-9)
