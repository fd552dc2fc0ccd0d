"""The facts of a row's event, against what the user did before; and arrays that do not fit."""

from math import log1p
from random import Random
from statistics import fmean, pstdev

import numpy as np
import pytest

from features.catalogue import INDEX
from features.kernel import advance
from features.market import Market
from features.record import RECORD
from features.terms import Terms
from messages.columns import EVENT
from tests.features.histories import DAY, START, Event, Life, columns, fresh


def purchases(amounts: list[int]) -> list[Event]:
    life = Life(Random(1), "u")
    made = []
    for i, amount in enumerate(amounts):
        event = {"type": "purchase", "user_id": "u", "event_id": f"e{i}", "time": (START + i * DAY) * 1_000}
        made.append(event | life._purchase() | {"amount": amount, "currency": "CNY"})
    return made


def facts(events: list[Event]) -> dict[str, list[float]]:
    got = advance(fresh(["u"]), columns(events, {"u": 0}), 0, Terms(), Market())
    return {name: list(got.features[:, column]) for name, column in INDEX.items()}


def test_a_purchase_is_measured_against_the_earlier_ones_only() -> None:
    amounts = [1_000, 5_000, 20_000, 700, 90_000, 4_000, 3_000_000]
    got = facts(purchases(amounts))
    assert got["amount_zscore"][:5] == [0.0] * 5
    for i in (5, 6):
        logs = [round(log1p(amount), 3) for amount in amounts[:i]]
        want = (round(log1p(amounts[i]), 3) - fmean(logs)) / max(pstdev(logs), 0.1)
        assert got["amount_zscore"][i] == pytest.approx(want, rel=1e-9)
        assert got["amount_to_mean"][i] == pytest.approx(amounts[i] / fmean(amounts[:i]))
    assert got["amount_to_mean"][0] == 1.0
    assert got["hours_since_purchase"] == [2_160.0, *[24.0] * 6]


def test_equal_purchases_do_not_make_the_next_one_infinitely_strange() -> None:
    got = facts(purchases([1_000] * 8 + [1_100]))
    assert got["amount_zscore"][8] == pytest.approx((round(log1p(1_100), 3) - round(log1p(1_000), 3)) / 0.1)


def test_a_merchant_is_new_once() -> None:
    events = [event | {"merchant_id": "m", "device_id": "d", "city": None} for event in purchases([5, 5])]
    got = facts(events)
    assert got["event_new_merchant"] == [1.0, 0.0]
    assert got["event_new_device"] == [1.0, 0.0]
    assert got["event_new_city"] == [0.0, 0.0]


def test_arrays_that_do_not_fit_are_refused_before_compiled_code_sees_them() -> None:
    events = np.zeros(1, EVENT)
    events["row"] = 5
    with pytest.raises(IndexError):
        advance(np.zeros(5, RECORD), events, 0, Terms(), Market())
    with pytest.raises(IndexError):
        advance(np.zeros(5, RECORD), events[:0], 0, Terms(), Market(), rows_due=np.array([5], np.uint32))
    with pytest.raises(TypeError):
        advance(np.zeros(5, [("other", "u1")]), events, 0, Terms(), Market())
    with pytest.raises(ValueError, match="contiguous"):
        advance(np.zeros(10, RECORD)[::2], events[:0], 0, Terms(), Market())
