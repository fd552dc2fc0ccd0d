"""Due dates that pass unpaid, training examples, and the end of a record's life."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import INDEX
from features.kernel import APPLIED_LATE, LABEL_NEGATIVE, LABEL_POSITIVE, Advanced, advance
from features.market import Market
from features.terms import Terms
from tests.features.histories import DAY, START, columns, fresh

TERMS = Terms()
HOUR = 3_600
DUE = START + 20 * DAY


class Account:
    """One user's record, advanced event by event."""

    def __init__(self) -> None:
        self.records, self.watermark, self.number = fresh(["u"]), 0, 0

    def send(self, kind: str, time: int, **fields: Any) -> Advanced:
        self.number += 1
        event: Mapping[str, Any] = {"type": kind, "event_id": f"e{self.number}", "user_id": "u", "time": time * 1_000}
        return self._advance(columns([{**event, **fields}], {"u": 0}))

    def wait(self, until: int) -> Advanced:
        return self._advance(columns([], {}), (until + TERMS.allowed_lateness) * 1_000)

    def _advance(self, events: NDArray[np.void], clock: int = 0) -> Advanced:
        got = advance(self.records, events, self.watermark, TERMS, Market(), clock)
        self.watermark = got.watermark
        return got

    def open(self) -> None:
        self.send("account_opened", START - DAY, limit=1, currency="CNY")

    def bill(self, time: int = START, due: int = DUE, name: str = "b", **fields: Any) -> Advanced:
        money = {"amount_due": 10_000, "minimum_due": 1_000, "currency": "CNY"}
        return self.send("bill_issued", time, bill_id=name, due_time=due * 1_000, **(money | fields))

    def repay(self, time: int, amount: int = 10_000, **fields: Any) -> Advanced:
        return self.send("repayment", time, repayment_id="r", amount=amount, currency="CNY", **fields)


def column(got: Advanced, name: str) -> list[float]:
    return list(got.features[:, INDEX[name]])


def test_an_unpaid_bill_wakes_at_every_stage_from_the_first_second_after_its_due_time() -> None:
    account = Account()
    account.open()
    account.bill()
    got = account.wait(DUE + 100 * DAY)
    past_due = [int((time - DUE - 1) // DAY) + 1 for time in got.time]
    assert [day for day in past_due if day in TERMS.stages()] == list(TERMS.stages())
    assert (got.time[0], column(got, "days_past_due")[0]) == (DUE + 1, 1.0)
    assert column(got, "days_past_due") == past_due
    assert got.event.tolist() == [-1] * len(got.event)


def test_a_paid_bill_wakes_nobody_but_its_label() -> None:
    account = Account()
    account.open()
    account.bill()
    account.repay(START + DAY, bill_id="b")
    got = account.wait(DUE + 100 * DAY)
    assert got.time.tolist() == [START + TERMS.horizon_days * DAY]
    assert got.label.tolist() == [LABEL_NEGATIVE]


def test_a_label_turns_positive_on_the_day_of_default() -> None:
    account = Account()
    account.open()
    assert account.bill().opened.tolist() == [True]
    got = account.wait(DUE + 40 * DAY)
    positive = got.label == LABEL_POSITIVE
    assert got.time[positive].tolist() == [DUE + (TERMS.default_days - 1) * DAY + 1]
    assert account.records["example_opened"][0] == 0


def test_no_second_example_is_opened_while_one_is_open_nor_in_default() -> None:
    account = Account()
    account.open()
    account.bill()
    assert account.bill(START + DAY, DUE + DAY, "c").opened.tolist() == [False]
    account.wait(DUE + 35 * DAY)
    assert account.bill(DUE + 36 * DAY, DUE + 60 * DAY, "d").opened.tolist() == [False]


def test_a_late_repayment_counts_in_its_bill() -> None:
    account = Account()
    account.open()
    account.bill()
    account.send("login", DUE + HOUR)
    got = account.repay(DUE - HOUR, bill_id="b")
    assert column(got, "days_past_due") == [0.0]
    assert column(got, "on_time_ratio") == [1.0]
    assert column(got, "missed_bills") == [0.0]


def test_a_returned_repayment_makes_the_bill_unmet_again() -> None:
    account = Account()
    account.open()
    account.bill()
    account.repay(DUE - DAY)
    got = account.send("reversal", DUE + 2 * DAY + 1, repayment_id="r", amount=10_000, currency="CNY")
    assert column(got, "days_past_due")[-1] == 3.0
    assert column(got, "owed")[-1] == 10_000.0


def test_a_pause_stops_the_days_and_moves_the_stages() -> None:
    account = Account()
    account.open()
    account.bill()
    account.wait(DUE + DAY)
    account.send("hardship_pause", DUE + 2 * DAY, until=(DUE + 12 * DAY) * 1_000)
    got = account.wait(DUE + 20 * DAY)
    seventh = column(got, "days_past_due").index(7.0)
    assert got.time[seventh] == DUE + 16 * DAY + 1
    assert DUE + 12 * DAY in got.time


def test_a_reschedule_moves_what_is_late() -> None:
    account = Account()
    account.open()
    account.bill()
    got = account.send("bill_rescheduled", DUE + 3 * DAY, bill_id="b", due_time=(DUE + 9 * DAY) * 1_000)
    assert column(got, "days_past_due")[-1] == 0.0
    assert DUE + 9 * DAY + 1 in account.wait(DUE + 10 * DAY).time


def test_a_carrying_statement_that_is_met_makes_the_earlier_ones_good() -> None:
    account = Account()
    account.open()
    account.bill(carries_balance=True)
    account.bill(START + 30 * DAY, DUE + 30 * DAY, "c", carries_balance=True, amount_due=22_000)
    got = account.repay(START + 31 * DAY, 2_000)
    assert column(got, "days_past_due") == [0.0]
    assert column(got, "worst_days_past_due_90d") == [11.0]
    assert column(got, "owed") == [20_000.0]


def test_a_repayment_before_its_bill_counts_once_the_bill_comes() -> None:
    account = Account()
    account.open()
    account.repay(START - HOUR, bill_id="b")
    got = account.bill()
    assert column(got, "owed") == [0.0]
    assert column(got, "on_time_ratio") == [0.5]
    assert column(account.wait(DUE + 70 * DAY), "on_time_ratio")[-1] == 1.0


def test_unknown_bills_do_not_crowd_out_real_ones_for_good() -> None:
    account = Account()
    account.open()
    for number in range(8):
        account.repay(START - DAY + number, 1, bill_id=f"unknown-{number}")
    account.bill()
    assert column(account.wait(DUE + 1), "days_past_due") == [1.0]


def test_erasure_waits_until_nothing_is_owed_and_leaves_nothing() -> None:
    account = Account()
    account.open()
    account.bill()
    assert account.send("erasure_requested", START + DAY).retire.tolist() == [False]
    assert account.repay(START + 2 * DAY).retire.tolist() == [True]
    left = account.records[0].copy()
    assert left["events"] == 0
    assert left["next_timer"] == 0
    assert not left["recent"].any()
    assert left["user"] != 0


def test_a_closed_account_is_kept_until_its_retention_ends() -> None:
    account = Account()
    account.open()
    account.send("account_closed", START)
    got = account.wait(START + TERMS.retention_days * DAY)
    assert got.retire.tolist() == [True]
    assert got.time.tolist() == [START + TERMS.retention_days * DAY]


def test_an_event_older_than_the_windows_is_applied_and_counted_as_late() -> None:
    account = Account()
    account.send("login", START)
    got = account.repay(START - 200 * DAY)
    assert got.disposition.tolist() == [APPLIED_LATE]
    assert column(got, "late_events") == [1.0]
    assert column(got, "credit_balance") == [10_000.0]


def test_hundreds_of_timers_of_one_wait_are_all_written() -> None:
    users = [f"u{number}" for number in range(300)]
    records = fresh(users)
    bills = [
        {"type": "bill_issued", "event_id": "b", "user_id": user, "time": START * 1_000, "bill_id": "b",
         "amount_due": 5, "minimum_due": 5, "currency": "CNY", "due_time": DUE * 1_000}
        for user in users
    ]  # fmt: skip
    watermark = advance(
        records, columns(bills, {user: i for i, user in enumerate(users)}), 0, TERMS, Market()
    ).watermark
    got = advance(records, columns([], {}), watermark, TERMS, Market(), (DUE + 10 * DAY) * 1_000)
    assert len(got.time) == 600
    order = list(zip(got.time.tolist(), records["user"][got.row].tolist(), strict=True))
    assert order == sorted(order)
