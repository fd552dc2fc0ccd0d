"""Turns the UCI data set "Default of Credit Card Clients" (Taiwan, April to September 2005) into contract events.

What is real: the limit, six monthly statement balances, six monthly payments, and whether a month's payment was late.
What is made up, always from the seed and the client's id alone, never from the default of October:

* A month's spending is implied by the balances (this statement - the one before + what was paid between) and split
  into purchases with dates, categories, merchants, devices and cities. Negative implied spending is a refund.
* The statement of March is not in the data. It is the balance brought forward: what April's statement and payment
  imply if nothing was bought in April; for clients that pay in full (status -1, -2) April's payment is the March
  balance and April's statement is April's spending.
* Statements are issued on the last evening of the month (Taipei time) and fall due on a day from the 20th to the 25th
  of the next month, fixed per client. The minimum is 3 % of the balance, at least NT$ 500, at most the balance.
* The payment of a month names the statement of the month before. Status 0 or below in that month: paid between the 2nd
  and the due day. Status 1: one to three days late. Status 2 or above: later than that, before the month ends.
* Income and provident-fund accounts are not in the data at all: synthetic, independent of every column.

SEX, EDUCATION, MARRIAGE and AGE never enter an event.
"""

import csv
import gzip
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from samples.writing import write_events

TAIPEI = timezone(timedelta(hours=8))
MONTHS = ("200503", "200504", "200505", "200506", "200507", "200508", "200509")
CURRENCY = "TWD"
DEFAULT_SEED = 2005
MINIMUM_SHARE, MINIMUM_FLOOR = 0.03, 500_00
CATEGORY_SHARES = {
    "groceries": 0.20, "dining": 0.15, "apparel": 0.11, "electronics": 0.09, "home": 0.08, "travel": 0.05,
    "transport": 0.09, "health": 0.04, "education": 0.03, "entertainment": 0.05, "digital_goods": 0.03,
    "utilities": 0.05, "gift_cards": 0.01, "cash_like": 0.01, "other": 0.01,
}  # fmt: skip
CITIES = ("taipei", "new-taipei", "taoyuan", "taichung", "tainan", "kaohsiung")

_STATUS = ("PAY_6", "PAY_5", "PAY_4", "PAY_3", "PAY_2", "PAY_0")  # April to September
_BILLS = tuple(f"BILL_AMT{k}" for k in range(6, 0, -1))
_PAID = tuple(f"PAY_AMT{k}" for k in range(6, 0, -1))
_STARTS = tuple(int(datetime(2005, number, 1, tzinfo=TAIPEI).timestamp()) for number in range(3, 11))
_CATEGORIES = tuple(CATEGORY_SHARES)
_CUMULATED = np.cumsum(list(CATEGORY_SHARES.values()))
_COLUMNS = ("ID", "LIMIT_BAL", *_STATUS, *_BILLS, *_PAID)
_OUTCOME = "default_next_month"

Event = dict[str, Any]


class NotThisDataSet(ValueError):
    """The file lacks columns of the data set."""


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the file. Amounts in cents of NT$; statements March to September, the rest April to September."""

    number: int
    user: str
    limit: int
    statements: tuple[int, ...]
    paid: tuple[int, ...]
    status: tuple[int, ...]
    due_day: int
    income: int
    city: str
    joined: int  # months contributed to the provident fund by March
    fate: float  # of the provident-fund account, 0 to 1
    spell: int  # month in which that fate strikes


def user_id(number: int) -> str:
    """The user id of a client."""
    return f"taiwan-{number}"


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of the CSV or CSV.gz file. Raises `NotThisDataSet` when columns are missing."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise NotThisDataSet(f"{path}: missing columns {', '.join(sorted(missing))}")
        yield from reader


def outcomes(path: Path) -> dict[str, bool]:
    """Whether each client defaulted in October 2005: for evaluation only, no event knows it."""
    return {user_id(int(row["ID"])): row[_OUTCOME].strip() in ("1", "1.0") for row in rows(path)}


def events(path: Path, clients: Container[int] | None = None, seed: int = DEFAULT_SEED) -> Iterator[tuple[str, Event]]:
    """Pairs of topic and event over all clients (or those whose ID is in `clients`), sorted by time, then by event id.

    A client's events depend on its row and the seed alone: a subset gives the same events.
    """
    chosen = [_client(row, seed) for row in rows(path) if clients is None or int(row["ID"]) in clients]
    for month in range(len(MONTHS)):
        of_month = [pair for client in chosen for pair in _month(client, month, seed)]
        of_month.sort(key=lambda pair: (pair[1]["time"], pair[1]["event_id"]))
        yield from of_month


def _client(row: dict[str, str], seed: int) -> Client:
    number = int(row["ID"])
    draw = np.random.default_rng([seed, number]).random(6)
    balances = [_cents(row[name]) for name in _BILLS]
    paid = [_cents(row[name]) for name in _PAID]
    status = tuple(round(float(row[name])) for name in _STATUS)
    brought_forward = paid[0] if status[0] < 0 else balances[0] + paid[0]
    income = 45_000 * float(np.exp(0.4 * np.sqrt(-2 * np.log(1 - draw[0])) * np.cos(2 * np.pi * draw[1])))
    return Client(
        number=number,
        user=user_id(number),
        limit=_cents(row["LIMIT_BAL"]),
        statements=(brought_forward, *balances),
        paid=tuple(paid),
        status=status,
        due_day=20 + number % 6,
        income=round(income / 100) * 100_00,
        city=CITIES[int(draw[2] * len(CITIES))],
        joined=int(draw[3] * 120),
        fate=float(draw[4]),
        spell=1 + int(draw[5] * 6),
    )


def _cents(text: str) -> int:
    return round(float(text) * 100)


def _at(month: int, day: int, second: int) -> int:
    """Milliseconds of a second of a day (1-based, Taipei time) of a month."""
    return (_STARTS[month] + (day - 1) * 86_400 + second) * 1000


def _last_day(month: int) -> int:
    return (_STARTS[month + 1] - _STARTS[month]) // 86_400


def _month(client: Client, month: int, seed: int) -> Iterator[tuple[str, Event]]:
    draws = np.random.default_rng([seed, client.number, month + 1])
    if month == 0:
        yield "profiles", _opened(client)
    else:
        yield from _spending(client, month, draws)
        yield from _repayment(client, month, draws)
    yield "provident-fund", _fund(client, month)
    yield "bills", _statement(client, month)


def _event(client: Client, month: int, kind: str, tag: str, time: int) -> Event:
    return {"type": kind, "event_id": f"{client.user}-{MONTHS[month]}-{tag}", "user_id": client.user, "time": time}


def _opened(client: Client) -> Event:
    return _event(client, 0, "account_opened", "open", _at(0, 1, 32_400 + client.number)) | {
        "limit": client.limit,
        "currency": CURRENCY,
        "monthly_income": client.income,
        "region": "taiwan",
        "consents_to_increases": client.number % 4 != 0,
    }


def _spending(client: Client, month: int, draws: np.random.Generator) -> Iterator[tuple[str, Event]]:
    implied = client.statements[month] - client.statements[month - 1] + client.paid[month - 1]
    if month == 1 and client.status[0] < 0:
        implied = client.statements[1]  # paid in full: the whole statement is this month's
    if implied < 0:
        refund = _event(client, month, "refund", "refund", _at(month, 14, 43_200 + client.number))
        yield "purchases", refund | {"order_id": f"{client.user}-{month}", "amount": -implied, "currency": CURRENCY}
        return
    for number, amount in enumerate(_split(implied, draws), 1):
        yield "purchases", _purchase(client, month, number, amount, draws.random(7).tolist())


def _split(total: int, draws: np.random.Generator) -> list[int]:
    """Up to 8 amounts that sum to `total`, more of them the larger it is."""
    if total == 0:
        return []
    count = int(min(8, 1 + draws.poisson(min(total / 250_000, 5.0)), -(-total // 50_00)))
    weights = draws.random(count) + 0.15
    amounts = np.maximum(np.floor(total * weights / weights.sum()).astype(np.int64), 1).tolist()
    amounts[0] += total - sum(amounts)
    return [int(amount) for amount in amounts if amount > 0]


def _purchase(client: Client, month: int, number: int, amount: int, draw: list[float]) -> Event:
    day = 1 + int(draw[0] * (_last_day(month) - 1))
    # One purchase in 33 falls in the night, the others between 8 and 23 o'clock.
    hour = draw[1] * 33 * 6 if draw[1] < 1 / 33 else 8 + 15 * (draw[1] - 1 / 33) / (32 / 33)
    category = _CATEGORIES[min(int(np.searchsorted(_CUMULATED, draw[2], side="right")), len(_CATEGORIES) - 1)]
    # Each client has six usual shops of a category; every fourth purchase goes to any of 400.
    shop = client.number * 7 % 400 + int(draw[4] * 6) if draw[3] < 0.75 else int(draw[4] * 400)
    devices = 1 + (draw[5] > 0.93)
    event = _event(client, month, "purchase", f"p{number}", _at(month, day, int(hour * 3_600)))
    return event | {
        "order_id": f"{client.user}-{month}-{number}",
        "amount": amount,
        "currency": CURRENCY,
        "category": category,
        "merchant_id": f"{category}-{shop % 400}",
        "device_id": f"{client.user}-device-{devices}",
        "city": client.city if draw[6] < 0.95 else CITIES[int(draw[6] * 600) % len(CITIES)],
        "instalments": 1,
        "green": category in ("transport", "home") and draw[4] < 0.2,
        "energy_intensive": category == "transport" and draw[4] > 0.6,
    }


def _repayment(client: Client, month: int, draws: np.random.Generator) -> Iterator[tuple[str, Event]]:
    paid, status = client.paid[month - 1], client.status[month - 1]
    if paid <= 0:
        return
    if status <= 0:
        first, last = 2, client.due_day
    elif status == 1:
        first, last = client.due_day + 1, client.due_day + 3
    else:
        first, last = client.due_day + 4, _last_day(month)
    day = first + int(draws.random() * (last - first + 1))
    event = _event(client, month, "repayment", "pay", _at(month, day, 28_800 + int(draws.random() * 36_000)))
    event |= {"repayment_id": f"{client.user}-{month}", "amount": paid, "currency": CURRENCY, "method": "manual"}
    if client.statements[month - 1] > 0:
        event["bill_id"] = f"{client.user}-bill-{month - 1}"
    yield "repayments", event


def _statement(client: Client, month: int) -> Event:
    balance = max(client.statements[month], 0)
    # The second of issue is spread over the evening, so that statements are not one instant's load.
    event = _event(client, month, "bill_issued", "bill", _at(month, _last_day(month), 72_000 + client.number % 14_400))
    return event | {
        "bill_id": f"{client.user}-bill-{month}",
        "amount_due": balance,
        "minimum_due": min(balance, max(int(balance * MINIMUM_SHARE), MINIMUM_FLOOR)),
        "currency": CURRENCY,
        "due_time": _after(month, client.due_day),
        "carries_balance": True,
    }


def _after(month: int, day: int) -> int:
    """The end of a day of the month after `month`."""
    return (_STARTS[month + 1] + day * 86_400 - 1) * 1000


def _fund(client: Client, month: int) -> Event:
    """Synthetic: 12 % of the synthetic income a month; 6 % of clients have an interrupted spell, 1 % withdraw."""
    interrupted = client.fate < 0.06 and client.spell <= month < client.spell + 2
    withdrawn = client.fate > 0.99 and month == client.spell
    status = "withdrawn" if withdrawn else "interrupted" if interrupted else "normal"
    event = _event(client, month, "provident_fund", "fund", _at(month, 5 + client.number % 10, 36_000 + month))
    return event | {
        "status": status,
        "monthly_amount": client.income * 12 // 100 if status == "normal" else 0,
        "currency": CURRENCY,
        "months_contributed": client.joined + month,
        "employer_id": f"employer-{client.number % 97}",
        "city": client.city,
    }


def chosen_ids(path: Path, count: int, seed: int = DEFAULT_SEED) -> list[int]:
    """IDs of `count` clients drawn without replacement by the seed, sorted."""
    numbers = np.array(sorted(int(row["ID"]) for row in rows(path)))
    return sorted(np.random.default_rng(seed).choice(numbers, count, replace=False).tolist())


def subset(path: Path, numbers: Iterable[int], out: Path) -> int:
    """Writes the rows of some clients, without the columns that no event uses, as CSV.gz; returns how many."""
    wanted, written = set(numbers), 0
    with out.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        lines = [",".join((*_COLUMNS, _OUTCOME))]
        for row in rows(path):
            if int(row["ID"]) in wanted:
                lines.append(",".join(_plain(row[name]) for name in (*_COLUMNS, _OUTCOME)))
                written += 1
        packed.write(("\n".join(lines) + "\n").encode())
    return written


def write(path: Path, out: Path, clients: Container[int] | None = None, seed: int = DEFAULT_SEED) -> int:
    """Writes `events` to a .jsonl, .jsonl.gz or .parquet file; returns their number."""
    return write_events((event for _, event in events(path, clients, seed)), out)


def _plain(text: str) -> str:
    return text.removesuffix(".0")
