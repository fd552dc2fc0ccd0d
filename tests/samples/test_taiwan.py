import csv
import gzip
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from messages.inputs import USER_TOPICS
from samples import taiwan
from samples.taiwan import Event

SAMPLE = Path(taiwan.__file__).parent / "data" / "taiwan-1000.csv.gz"
CONTRACTS = {
    model.model_fields["type"].default: (topic, model) for topic, some in USER_TOPICS.items() for model in some
}


@pytest.fixture(scope="module")
def stream() -> list[tuple[str, Event]]:
    return list(taiwan.events(SAMPLE))


@pytest.fixture(scope="module")
def by_user(stream: list[tuple[str, Event]]) -> dict[str, list[Event]]:
    users: dict[str, list[Event]] = defaultdict(list)
    for _, event in stream:
        users[event["user_id"]].append(event)
    return users


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, str]]:
    return {taiwan.user_id(int(row["ID"])): row for row in taiwan.rows(SAMPLE)}


def cents(row: dict[str, str], name: str) -> int:
    return round(float(row[name]) * 100)


def month(event: Event) -> int:
    return datetime.fromtimestamp(event["time"] / 1000, taiwan.TAIPEI).month


def altered(path: Path, changes: dict[str, str]) -> Path:
    """The sample with some columns overwritten in every row."""
    with gzip.open(SAMPLE, "rt", newline="") as file, path.open("w", newline="") as out:
        reader = csv.DictReader(file)
        writer = csv.DictWriter(out, [*(reader.fieldnames or ()), *(set(changes) - set(reader.fieldnames or ()))])
        writer.writeheader()
        writer.writerows(row | changes for row in reader)
    return path


def test_every_event_keeps_its_contract_and_topic(stream: list[tuple[str, Event]]) -> None:
    for topic, event in stream[::7]:
        expected, contract = CONTRACTS[event["type"]]
        assert topic == expected
        contract.model_validate(event)


def test_events_come_in_order_of_time_with_ids_of_their_own(stream: list[tuple[str, Event]]) -> None:
    times = [event["time"] for _, event in stream]
    assert times == sorted(times)
    assert len({event["event_id"] for _, event in stream}) == len(stream)


def test_there_are_about_33_events_a_client(stream: list[tuple[str, Event]]) -> None:
    assert 30 < len(stream) / 1000 < 36


def test_the_same_seed_gives_the_same_events_and_another_gives_others(stream: list[tuple[str, Event]]) -> None:
    assert list(taiwan.events(SAMPLE)) == stream
    assert list(taiwan.events(SAMPLE, seed=1)) != stream


def test_a_subset_of_clients_gives_the_same_events(stream: list[tuple[str, Event]]) -> None:
    chosen = set(taiwan.chosen_ids(SAMPLE, 20, seed=3))
    users = {taiwan.user_id(number) for number in chosen}
    assert list(taiwan.events(SAMPLE, chosen)) == [pair for pair in stream if pair[1]["user_id"] in users]


def test_statements_from_april_are_the_balances_of_the_file(
    by_user: dict[str, list[Event]], rows: dict[str, dict[str, str]]
) -> None:
    for user, events in by_user.items():
        bills = {month(event): event for event in events if event["type"] == "bill_issued"}
        assert sorted(bills) == [3, 4, 5, 6, 7, 8, 9]
        for number in range(4, 10):
            assert bills[number]["amount_due"] == max(cents(rows[user], f"BILL_AMT{10 - number}"), 0)
            assert 20 * 86_400_000 < bills[number]["due_time"] - bills[number]["time"] < 26 * 86_400_000


def test_payments_are_those_of_the_file_and_name_the_statement_before(
    by_user: dict[str, list[Event]], rows: dict[str, dict[str, str]]
) -> None:
    for user, events in by_user.items():
        paid = {month(event): event for event in events if event["type"] == "repayment"}
        bills = {event["bill_id"]: month(event) for event in events if event["type"] == "bill_issued"}
        for number in range(4, 10):
            amount = cents(rows[user], f"PAY_AMT{10 - number}")
            assert (paid[number]["amount"] if number in paid else 0) == amount
            if number in paid and "bill_id" in paid[number]:
                assert bills[paid[number]["bill_id"]] == number - 1


def test_a_payment_is_late_exactly_when_the_months_status_says_so(
    by_user: dict[str, list[Event]], rows: dict[str, dict[str, str]]
) -> None:
    late = 0
    for user, events in by_user.items():
        due = {event["bill_id"]: event["due_time"] for event in events if event["type"] == "bill_issued"}
        for event in events:
            if event["type"] == "repayment" and "bill_id" in event:
                status = int(rows[user]["PAY_0" if month(event) == 9 else f"PAY_{10 - month(event)}"])
                assert (event["time"] > due[event["bill_id"]]) == (status >= 1)
                late += status >= 1
    assert late > 100


def test_purchases_and_refunds_of_a_month_are_the_spending_that_the_balances_imply(
    by_user: dict[str, list[Event]], rows: dict[str, dict[str, str]]
) -> None:
    for user, events in by_user.items():
        spent: dict[int, int] = defaultdict(int)
        for event in events:
            if event["type"] in ("purchase", "refund"):
                spent[month(event)] += event["amount"] if event["type"] == "purchase" else -event["amount"]
        for number in range(5, 10):
            k = 10 - number
            row = rows[user]
            implied = cents(row, f"BILL_AMT{k}") - cents(row, f"BILL_AMT{k + 1}") + cents(row, f"PAY_AMT{k}")
            assert spent[number] == implied


def test_no_event_knows_the_outcome_or_who_the_client_is(tmp_path: Path) -> None:
    told = {"default_next_month": "1", "SEX": "2", "EDUCATION": "3", "MARRIAGE": "1", "AGE": "77"}
    hidden = {"default_next_month": "0", "SEX": "1", "EDUCATION": "1", "MARRIAGE": "2", "AGE": "21"}
    first = list(taiwan.events(altered(tmp_path / "told.csv", told)))
    assert first == list(taiwan.events(altered(tmp_path / "hidden.csv", hidden)))


def test_what_happens_in_a_month_does_not_depend_on_later_ones(stream: list[tuple[str, Event]], tmp_path: Path) -> None:
    later = {"PAY_0": "8", "BILL_AMT1": "0", "PAY_AMT1": "0"}  # September
    changed = list(taiwan.events(altered(tmp_path / "later.csv", later)))
    assert [pair for pair in changed if month(pair[1]) < 9] == [pair for pair in stream if month(pair[1]) < 9]


def test_income_and_provident_fund_depend_on_nothing_in_the_file(
    stream: list[tuple[str, Event]], tmp_path: Path
) -> None:
    changes = {"LIMIT_BAL": "10000", **{name: "0" for k in range(1, 7) for name in (f"BILL_AMT{k}", f"PAY_AMT{k}")}}
    changed = list(taiwan.events(altered(tmp_path / "poor.csv", changes)))

    def synthetic(pairs: list[tuple[str, Event]]) -> list[object]:
        return [event.get("monthly_income", event) for topic, event in pairs if topic in ("profiles", "provident-fund")]

    assert synthetic(changed) == synthetic(stream)


def test_outcomes_name_every_client_of_the_sample(rows: dict[str, dict[str, str]]) -> None:
    outcomes = taiwan.outcomes(SAMPLE)
    assert outcomes.keys() == rows.keys()
    assert 0.15 < sum(outcomes.values()) / len(outcomes) < 0.30


def test_a_file_without_the_columns_is_refused_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("ID,LIMIT_BAL\n1,2\n")
    with pytest.raises(taiwan.NotThisDataSet, match="BILL_AMT1"):
        list(taiwan.events(path))


def test_the_shipped_sample_holds_neither_age_nor_sex() -> None:
    columns = set(next(taiwan.rows(SAMPLE)))
    assert not columns & {"SEX", "EDUCATION", "MARRIAGE", "AGE"}


def test_a_subset_of_the_sample_is_a_sample(tmp_path: Path, stream: list[tuple[str, Event]]) -> None:
    numbers = taiwan.chosen_ids(SAMPLE, 30)
    assert taiwan.subset(SAMPLE, numbers, tmp_path / "few.csv.gz") == 30
    assert list(taiwan.events(tmp_path / "few.csv.gz")) == list(taiwan.events(SAMPLE, set(numbers)))
