"""Kernels that read the spending features of a record."""

import math
from typing import Any

import numpy as np

from features.record import (
    CATEGORY_COUNT,
    DAY,
    HOUR,
    TEN_DAYS,
    TEN_MINUTES,
    TILES_1H,
    TILES_24H,
    TILES_30D,
    TILES_90D,
    TWO_HOURS,
)
from features.tiles import newest, total, window
from messages.compiled import part, signed
from messages.vocabulary import CATEGORIES

GAMBLING = CATEGORIES.index("gambling")
#: Ten-day tiles that make 30 days, and the fewest purchases that make a mix of categories.
RECENT_TILES, MIX_MINIMUM = 3, 5
#: Below this many purchases n Q fits in 64 bits, at the greatest amount of the contracts.
EXACT_COUNT = 100_000


@part
def ratio(part: float, whole: float, ceiling: float, default: float) -> float:
    """`part / whole`, at most `ceiling`; `default` where `whole` is not positive."""
    return min(part / whole, ceiling) if whole > 0 else default


@part
def read_windows(r: Any, f: Any, t: int) -> None:
    """Fill count, sum, mean and maximum of the five windows."""
    head = signed(r.head_1h)
    n = newest(head, t // TEN_MINUTES, TILES_1H)
    f.spend_count_1h, f.spend_sum_1h, f.spend_max_1h = window(r.count_1h, r.sum_1h, r.max_1h, head, n)
    f.spend_mean_1h = ratio(f.spend_sum_1h, f.spend_count_1h, np.inf, 0.0)
    head = signed(r.head_24h)
    n = newest(head, t // TWO_HOURS, TILES_24H)
    f.spend_count_24h, f.spend_sum_24h, f.spend_max_24h = window(r.count_24h, r.sum_24h, r.max_24h, head, n)
    f.spend_mean_24h = ratio(f.spend_sum_24h, f.spend_count_24h, np.inf, 0.0)
    head = signed(r.head_days)
    n = newest(head, t // DAY, 7)
    f.spend_count_7d, f.spend_sum_7d, f.spend_max_7d = window(r.count_days, r.sum_days, r.max_days, head, n)
    f.spend_mean_7d = ratio(f.spend_sum_7d, f.spend_count_7d, np.inf, 0.0)
    n = newest(head, t // DAY, TILES_30D)
    f.spend_count_30d, f.spend_sum_30d, f.spend_max_30d = window(r.count_days, r.sum_days, r.max_days, head, n)
    f.spend_mean_30d = ratio(f.spend_sum_30d, f.spend_count_30d, np.inf, 0.0)
    f.refund_sum_30d = total(r.refund_sum_days, head, n)
    head = signed(r.head_90d)
    n = newest(head, t // TEN_DAYS, TILES_90D)
    f.spend_count_90d, f.spend_sum_90d, f.spend_max_90d = window(r.count_90d, r.sum_90d, r.max_90d, head, n)
    f.spend_mean_90d = ratio(f.spend_sum_90d, f.spend_count_90d, np.inf, 0.0)


@part
def read_pace(r: Any, f: Any, t: int) -> None:
    """Fill how fast the user spends against the own rate; needs the windows. Young histories use the time known."""
    known = t - signed(r.first_seen)
    hours, days = float(known // HOUR + 1), float(known // DAY + 1)
    f.count_velocity_1h = ratio(f.spend_count_1h * min(hours, 24.0), f.spend_count_24h, 24.0, 1.0)
    f.spend_velocity_24h = ratio(f.spend_sum_24h * min(days, 30.0), f.spend_sum_30d, 30.0, 1.0)
    f.spend_acceleration = ratio(f.spend_sum_7d / min(days, 7.0) * min(days, 30.0), f.spend_sum_30d, 30.0, 1.0)
    f.spend_surge_30d = ratio(f.spend_sum_30d / min(days, 30.0) * min(days, 90.0), f.spend_sum_90d, 90.0, 1.0)
    f.days_since_purchase = 730.0
    if r.last_purchase != 0:
        f.days_since_purchase = float(min((t - signed(r.last_purchase)) // DAY, 730))


@part
def log_mean(count: int, log_sum: int) -> float:
    """Mean of ln(1 + amount) from the integer sum of its thousandths."""
    return log_sum / (1000.0 * count)


@part
def log_deviation(count: int, log_sum: int, square_sum: int) -> float:
    """Population standard deviation of ln(1 + amount): sqrt(n Q - S^2) / n, exact in integers while they hold it."""
    if count < EXACT_COUNT:
        spread = float(count * square_sum - log_sum * log_sum)
    else:
        spread = max(float(count) * float(square_sum) - float(log_sum) * float(log_sum), 0.0)
    return math.sqrt(spread) / (1000.0 * count)


@part
def read_history(r: Any, f: Any) -> None:
    """Fill the all-time features of purchases."""
    count = signed(r.purchases)
    f.purchases_total = count
    f.spend_mean_all = 0.0
    f.log_amount_mean = 0.0
    f.log_amount_deviation = 0.0
    if count > 0:
        f.spend_mean_all = r.amount_total / count
        f.log_amount_mean = log_mean(count, r.log_sum)
        f.log_amount_deviation = log_deviation(count, r.log_sum, r.log_square_sum)


@part
def seen_since(last: Any, day: int) -> int:
    """Number of slots last seen on `day` or later."""
    n = 0
    for k in range(len(last)):
        n += signed(last[k]) >= day
    return n


@part
def new_since(first: Any, day: int) -> int:
    """Number of slots first seen on `day` or later."""
    n = 0
    for k in range(len(first)):
        n += signed(first[k]) >= day
    return n


@part
def read_variety(r: Any, f: Any, t: int) -> None:
    """Fill distinct and new merchants, devices and cities; the window ends with the day of `t`."""
    week, month = t // DAY - 6, t // DAY - 29
    f.distinct_merchants_7d = seen_since(r.merchant_last, week)
    f.distinct_merchants_30d = seen_since(r.merchant_last, month)
    f.new_merchant_share_30d = ratio(new_since(r.merchant_first, month), f.distinct_merchants_30d, 1.0, 0.0)
    later = max(month, signed(r.first_seen) // DAY + 1)
    f.distinct_devices_30d = seen_since(r.device_last, month)
    f.new_devices_30d = new_since(r.device_first, later)
    f.distinct_cities_30d = seen_since(r.city_last, month)
    f.new_cities_30d = new_since(r.city_first, later)


@part
def read_shares(r: Any, f: Any, t: int) -> None:
    """Fill the shares of 90 days; needs the windows. Saturated sums cannot push a share above 1."""
    head = signed(r.head_90d)
    n = newest(head, t // TEN_DAYS, TILES_90D)
    spent, bought = f.spend_sum_90d, f.spend_count_90d
    f.night_share_90d = ratio(total(r.night_count_90d, head, n), bought, 1.0, 0.0)
    f.cash_like_share_90d = ratio(total(r.cash_like_sum_90d, head, n), spent, 1.0, 0.0)
    f.gift_card_share_90d = ratio(total(r.gift_card_sum_90d, head, n), spent, 1.0, 0.0)
    f.green_share_90d = ratio(total(r.green_sum_90d, head, n), spent, 1.0, 0.0)
    f.energy_share_90d = ratio(total(r.energy_sum_90d, head, n), spent, 1.0, 0.0)
    refunded = float(total(r.refund_sum_90d, head, n))
    f.refund_ratio_90d = ratio(refunded, max(refunded, spent), 1.0, 0.0)


@part
def read_mix(r: Any, f: Any, t: int, s: Any) -> None:
    """Fill the shift of the mix of categories and gambling's share."""
    recent, earlier = s.recent, s.earlier
    head = signed(r.head_90d)
    n = newest(head, t // TEN_DAYS, TILES_90D)
    n_recent = newest(head, t // TEN_DAYS, RECENT_TILES)
    for c in range(CATEGORY_COUNT):
        recent[c] = 0
        earlier[c] = 0
    k = head % TILES_90D
    for i in range(n):
        if r.count_90d[k] != 0:
            for c in range(CATEGORY_COUNT):
                if i < n_recent:
                    recent[c] += signed(r.category_count_90d[k * CATEGORY_COUNT + c])
                else:
                    earlier[c] += signed(r.category_count_90d[k * CATEGORY_COUNT + c])
        k = k - 1 if k > 0 else TILES_90D - 1
    of_recent, of_earlier = signed(0), signed(0)
    for c in range(CATEGORY_COUNT):
        of_recent += recent[c]
        of_earlier += earlier[c]
    f.gambling_share_90d = ratio(float(recent[GAMBLING] + earlier[GAMBLING]), float(of_recent + of_earlier), 1.0, 0.0)
    f.category_shift = 0.0
    if of_recent >= MIX_MINIMUM and of_earlier >= MIX_MINIMUM:
        distance = 0
        for c in range(CATEGORY_COUNT):
            distance += abs(recent[c] * of_earlier - earlier[c] * of_recent)
        f.category_shift = distance / (2.0 * of_recent * of_earlier)
