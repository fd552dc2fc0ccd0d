"""Which bills count as missed: those in whose turn nobody paid anything, whatever the money was booked to."""

from typing import Any

import numpy as np
import pytest

from features.catalogue import INDEX
from features.kernel import advance
from features.market import Market
from features.reading import read
from features.terms import Terms
from tests.features.histories import DAY, START, Event, columns, fresh

MONTH = 30 * DAY


def event(kind: str, time: int, **fields: Any) -> Event:
    return {
        "type": kind,
        "event_id": f"{kind}-{time}-{fields.get('bill_id')}",
        "user_id": "u",
        "time": time * 1_000,
        **fields,
    }


def bill(month: int, amount: int = 10_000, issued: int | None = None) -> Event:
    """The bill of a month: issued at its beginning, due on its 20th day."""
    due = START + month * MONTH + 20 * DAY
    money = {"amount_due": amount, "minimum_due": amount // 10, "currency": "CNY"}
    at = START + month * MONTH if issued is None else issued
    return event("bill_issued", at, bill_id=f"b{month}", due_time=due * 1_000, **money)


def repay(month: int, day: int, amount: int = 1_000, **fields: Any) -> Event:
    at = START + month * MONTH + day * DAY
    return event("repayment", at, repayment_id=f"r{at}", amount=amount, currency="CNY", **fields)


def features(events: list[Event], month: int, day: int) -> dict[str, float]:
    records, terms = fresh(["u"]), Terms()
    advance(records, columns(sorted(events, key=lambda one: one["time"]), {"u": 0}), 0, terms, Market())
    row = read(records, np.array([START + month * MONTH + day * DAY]), terms, Market())[0]
    names = ("missed_bills", "missed_bills_recent", "last_bill_missed", "last_bill_late_days", "days_past_due")
    return {name: float(row[INDEX[name]]) for name in names}


def test_who_pays_part_of_a_growing_balance_every_month_misses_no_bill_though_no_payment_names_one() -> None:
    # Every bill is over the whole balance; all the money goes to the oldest.
    events = [event for month in range(4) for event in (bill(month, 10_000 + month * 2_000), repay(month, 15))]
    got = features(events, 3, 25)
    assert (got["missed_bills"], got["missed_bills_recent"], got["last_bill_missed"]) == (0.0, 0.0, 0.0)
    assert got["last_bill_late_days"] == -5.0


def test_a_month_without_any_repayment_is_missed() -> None:
    events = [*map(bill, range(4)), repay(0, 15), repay(1, 15), repay(3, 15)]
    got = features(events, 3, 25)
    assert got["missed_bills"] == 1.0
    assert got["missed_bills_recent"] == pytest.approx(0.6)


@pytest.mark.parametrize("named", [{}, {"bill_id": "b0"}])
def test_a_bill_whose_turn_went_by_is_past_due_until_it_is_paid_even_if_money_came(named: dict[str, str]) -> None:
    # An instalment behind from the beginning: every repayment pays what was due the month before.
    events = [bill(0), bill(1), repay(1, 10, 10_000, **named)]
    got = features(events, 1, 25)
    assert (got["missed_bills"], got["last_bill_missed"], got["days_past_due"]) == (1.0, 0.0, 5.0)
    assert features(events[:2], 1, 25)["days_past_due"] == 35.0


def test_a_late_repayment_counts_from_the_due_date_on_though_it_was_booked_to_an_older_bill() -> None:
    events = [bill(0), bill(1), repay(0, 15), repay(1, 23)]
    got = features(events, 1, 28)
    assert (got["last_bill_missed"], got["last_bill_late_days"]) == (1.0, 3.0)


def test_the_repayment_for_the_next_bill_does_not_make_the_last_one_late() -> None:
    events = [bill(0), bill(1), bill(2), repay(0, 15), repay(1, 15), repay(2, 4)]
    assert features(events, 2, 10)["last_bill_late_days"] == -5.0


def test_instalments_billed_all_at_once_have_a_turn_each() -> None:
    events = [bill(month, 1_000, issued=START + month) for month in range(4)]
    events += [repay(0, 15, bill_id="b0"), repay(1, 15, bill_id="b1")]
    got = features(events, 3, 25)
    assert (got["missed_bills"], got["last_bill_missed"], got["days_past_due"]) == (2.0, 1.0, 35.0)


def test_money_that_went_back_is_none() -> None:
    back = event("reversal", START + MONTH + 16 * DAY, repayment_id="r", amount=1_000, currency="CNY")
    got = features([bill(0), repay(0, 15), bill(1), repay(1, 15), back], 1, 25)
    assert (got["missed_bills"], got["last_bill_missed"]) == (1.0, 1.0)
    assert got["last_bill_late_days"] == 5.0


def test_instalments_paid_ahead_are_neither_missed_nor_late() -> None:
    events = [*(bill(month, 1_000, issued=START + month) for month in range(3)), repay(0, 15, 3_000)]
    got = features(events, 2, 25)
    assert (got["missed_bills"], got["last_bill_late_days"], got["days_past_due"]) == (0.0, -30.0, 0.0)


def test_many_payments_that_name_no_bill_settle_their_bills_though_the_log_of_payments_is_short() -> None:
    events = [bill(month) for month in range(5)]
    events += [repay(month, day, 2_500) for month in range(5) for day in (2, 6, 10, 14)]
    got = features(events, 4, 25)
    assert (got["days_past_due"], got["missed_bills"], got["last_bill_missed"]) == (0.0, 0.0, 0.0)


def test_money_paid_ahead_covers_the_next_bill() -> None:
    got = features([bill(0), repay(0, 10, 20_000), bill(1)], 1, 25)
    assert (got["days_past_due"], got["missed_bills"]) == (0.0, 0.0)
