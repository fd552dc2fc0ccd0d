import numpy as np
import pytest

from features.catalogue import WIDTH
from scoring.anomaly import spending_anomaly
from tests.scoring.rows import random_rows, row

USUAL = {"event_is_purchase": 1, "purchases_total": 41, "amount_to_mean": 1, "amount_zscore": 0.1}


def anomaly(**values: float) -> float:
    return float(spending_anomaly(row({**USUAL, **values}))[0])


def test_a_user_without_history_is_neither_usual_nor_unusual() -> None:
    assert anomaly(purchases_total=1) == 0.5
    assert spending_anomaly(row())[0] == 0.5
    assert spending_anomaly(np.zeros((1, WIDTH)))[0] == 0.5


def test_a_usual_purchase_of_a_known_user_is_not_unusual() -> None:
    assert anomaly() < 0.1


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("amount_zscore", (0, 1, 3, 5)),
        ("amount_to_mean", (1, 3, 8, 20)),
        ("count_velocity_1h", (1, 8, 20)),
        ("spend_velocity_24h", (1, 5, 20)),
        ("event_new_merchant", (0, 1)),
        ("event_new_device", (0, 1)),
        ("event_new_city", (0, 1)),
        ("event_is_night", (0, 1)),
        ("event_is_cash_like", (0, 1)),
    ],
)
def test_more_deviation_is_more_unusual(feature: str, values: tuple[float, ...]) -> None:
    scored = [anomaly(**{feature: value}) for value in values]
    assert scored == sorted(set(scored))


def test_a_far_outlier_by_a_known_user_is_clearly_unusual() -> None:
    assert anomaly(amount_zscore=5, amount_to_mean=15, event_new_merchant=1) > 0.9


def test_amounts_smaller_than_usual_are_not_unusual() -> None:
    assert anomaly(amount_zscore=-4, amount_to_mean=0.01) == pytest.approx(anomaly())


def test_a_row_gets_the_same_bits_alone_and_among_others() -> None:
    rows = random_rows(777, seed=3)
    alone = np.concatenate([spending_anomaly(rows[i : i + 1]) for i in range(len(rows))])
    assert spending_anomaly(rows).tobytes() == alone.tobytes()
    assert np.all((alone >= 0) & (alone <= 1))
