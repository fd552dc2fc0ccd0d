"""The standard job: 20 features of a purchase, a score, and a warning where the amount is far from the user's habit.

An event is `{"event_id", "user_id", "amount", "merchant", "ts"}`, JSON, keyed by the user; `ts` is in seconds since
1970 and does not fall within a user's events. A user is remembered by the number of purchases, mean and sum of squared
deviations of the amounts (Welford), three windows of tiles, and the last 32 new merchants.

What decides about a warning is here and nowhere else: every engine written in Python calls these functions, compiled or
not, and the one in Java repeats them operation by operation. So all of them raise the very same warnings. The other
features may differ in their last digits, because sums are added up in another order or kept in 32 bits.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

#: Seconds of a tile, and tiles of a window: an hour, a day, thirty days.
WIDTHS = (300, 3_600, 86_400)
TILES = (12, 24, 30)
#: Merchants that are remembered.
MERCHANTS = 32
#: Where the z-score passes this, there is a warning.
LIMIT = 4.0
#: Earlier amounts that make a habit; with fewer the z-score is 0.
LEAST = 3
#: Seconds since the last purchase, for the first one.
NEVER = 1e6

#: Every feature and its weight in the logistic regression.
WEIGHTS = {
    "z_score": 0.25,
    "seconds_since_last": -1e-7,
    "count_hour": 0.05,
    "total_hour": 2e-4,
    "mean_hour": 1e-4,
    "count_day": 0.02,
    "total_day": 5e-5,
    "mean_day": 1e-4,
    "count_month": -0.002,
    "total_month": -1e-5,
    "mean_month": -1e-4,
    "merchants": -0.01,
    "new_merchant": 0.3,
    "amount": 1e-4,
    "log_amount": 0.02,
    "hour_of_day": -0.01,
    "hour_to_day": 0.2,
    "day_to_month": 0.4,
    "mean": -1e-4,
    "deviation": 2e-4,
}
NAMES = tuple(WEIGHTS)
_VALUES = tuple(WEIGHTS.values())


class Purchase(msgspec.Struct, gc=False):
    """An event."""

    event_id: str
    user_id: str
    amount: float
    merchant: str
    ts: int


class Warned(msgspec.Struct):
    """A warning."""

    event_id: str
    user_id: str
    score: float
    features: list[float]


decode_purchase = msgspec.json.Decoder(Purchase).decode
encode_warning = msgspec.json.Encoder().encode


def deviation_of(count: float, squares: float) -> float:
    """Standard deviation of so many amounts; 0 where they do not make a habit yet."""
    return math.sqrt(squares / (count - 1.0)) if count >= LEAST else 0.0


def z_score(amount: float, mean: float, deviation: float) -> float:
    """How many deviations the amount lies above the mean of the earlier ones."""
    return (amount - mean) / deviation if deviation > 0.0 else 0.0


def welford(count: float, mean: float, squares: float, amount: float) -> tuple[float, float, float]:
    """Count, mean and squared deviations with one more amount."""
    count += 1.0
    delta = amount - mean
    mean += delta / count
    squares += delta * (amount - mean)
    return count, mean, squares


def score(features: Sequence[float]) -> float:
    """The probability that the logistic regression gives to a row of features."""
    total = 0.0
    for place in range(len(_VALUES)):
        total += _VALUES[place] * features[place]
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


class Event(Protocol):
    """What the job reads of a purchase."""

    amount: float
    merchant: str
    ts: int


def new_user() -> dict[str, Any]:
    """What is remembered of a user before the first purchase; can be written as JSON."""
    return {"count": 0.0, "mean": 0.0, "squares": 0.0, "last": 0, "windows": [[], [], []], "merchants": []}


def advance(user: dict[str, Any], event: Event) -> list[float]:
    """Take in one purchase and return its 20 features: the job as it is written in Python, for one event at a time."""
    amount, ts, mean, count = event.amount, event.ts, user["mean"], user["count"]
    deviation = deviation_of(count, user["squares"])
    z = z_score(amount, mean, deviation)
    since = float(ts - user["last"]) if user["last"] else NEVER
    user["count"], user["mean"], user["squares"] = welford(count, mean, user["squares"], amount)
    user["last"] = ts
    sums: list[float] = []
    for width, tiles, window in zip(WIDTHS, TILES, user["windows"], strict=True):
        sums += _add(window, ts // width, tiles, amount)
    merchants = user["merchants"]
    new = event.merchant not in merchants
    if new:
        merchants.append(event.merchant)
        del merchants[:-MERCHANTS]
    _, hour, _, _, day, _, _, month, _ = sums
    return [
        z, since, *sums, float(len(merchants)), float(new), amount, math.log1p(amount), float(ts // 3_600 % 24),
        hour / (day + 1.0), day / (month + 1.0), user["mean"], deviation,
    ]  # fmt: skip


def _add(window: list[list[float]], tile: int, tiles: int, amount: float) -> tuple[float, float, float]:
    """Add an amount to a window's newest tile; returns count, total and mean of the window."""
    if window and window[-1][0] == tile:
        window[-1][1] += 1.0
        window[-1][2] += amount
    else:
        window.append([tile, 1.0, amount])
        while window[0][0] <= tile - tiles:
            del window[0]
    count = total = 0.0
    for _, more, sum_of_tile in window:
        count += more
        total += sum_of_tile
    return count, total, total / count


def warning(event_id: str, user_id: str, features: Sequence[float]) -> bytes:
    """The warning about an event."""
    return encode_warning(Warned(event_id, user_id, score(features), list(features)))


def expected_warnings(events: Sequence[Purchase]) -> dict[str, str]:
    """Event id and user of every warning that a stream leads to, from nothing but the definitions above."""
    known: dict[str, tuple[float, float, float]] = {}
    found: dict[str, str] = {}
    for event in events:
        count, mean, squares = known.get(event.user_id, (0.0, 0.0, 0.0))
        if z_score(event.amount, mean, deviation_of(count, squares)) > LIMIT:
            found[event.event_id] = event.user_id
        known[event.user_id] = welford(count, mean, squares, event.amount)
    return found
