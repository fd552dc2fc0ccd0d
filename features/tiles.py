"""Kernels over the rings of tiles: moving them on, adding to them, summing windows.

A ring of n tiles keeps the tiles head - n + 1 .. head, where head is the tile of the newest event. Sums saturate.
"""

from typing import Any

import numpy as np

from features.record import (
    CATEGORY_COUNT,
    DAY,
    INSTALMENT_PERIODS,
    TEN_DAYS,
    TEN_MINUTES,
    TILES_1H,
    TILES_24H,
    TILES_90D,
    TILES_DAYS,
    TWO_HOURS,
)
from messages.compiled import part, signed

U1_MAX, U2_MAX, U4_MAX = 2**8 - 1, 2**16 - 1, 2**32 - 1
PERIOD = 30 * DAY


@part
def add(tiles: Any, k: int, more: int, ceiling: int) -> None:
    """`tiles[k] += more`, saturating at `ceiling`."""
    tiles[k] = min(signed(tiles[k]) + more, ceiling)


@part
def turn(r: Any, time: int) -> None:
    """Move all rings of record `r` on to `time` (s), emptying the tiles that are reused."""
    tile = time // TEN_MINUTES
    for j in range(min(tile - signed(r.head_1h), TILES_1H)):
        k = (tile - j) % TILES_1H
        r.count_1h[k] = 0
        r.sum_1h[k] = 0
        r.max_1h[k] = 0
    r.head_1h = max(tile, signed(r.head_1h))
    tile = time // TWO_HOURS
    for j in range(min(tile - signed(r.head_24h), TILES_24H)):
        k = (tile - j) % TILES_24H
        r.count_24h[k] = 0
        r.sum_24h[k] = 0
        r.max_24h[k] = 0
    r.head_24h = max(tile, signed(r.head_24h))
    tile = time // DAY
    for j in range(min(tile - signed(r.head_days), TILES_DAYS)):
        k = (tile - j) % TILES_DAYS
        r.count_days[k] = 0
        r.sum_days[k] = 0
        r.max_days[k] = 0
        r.refund_sum_days[k] = 0
    r.head_days = max(tile, signed(r.head_days))
    _turn_90d(r, time // TEN_DAYS)


@part
def _turn_90d(r: Any, tile: int) -> None:
    for j in range(min(tile - signed(r.head_90d), TILES_90D)):
        k = (tile - j) % TILES_90D
        r.count_90d[k] = 0
        r.sum_90d[k] = 0
        r.max_90d[k] = 0
        r.night_count_90d[k] = 0
        r.cash_like_sum_90d[k] = 0
        r.gift_card_sum_90d[k] = 0
        r.green_sum_90d[k] = 0
        r.energy_sum_90d[k] = 0
        r.refund_sum_90d[k] = 0
        r.failed_debits_90d[k] = 0
        r.browses_90d[k] = 0
        r.risky_browses_90d[k] = 0
        r.logins_90d[k] = 0
        r.failed_logins_90d[k] = 0
        for c in range(CATEGORY_COUNT):
            r.category_count_90d[k * CATEGORY_COUNT + c] = 0
    r.head_90d = max(tile, signed(r.head_90d))


@part
def place_90d(r: Any, time: int) -> int:
    """Index of the ten-day tile of `time`; -1 where it is too old to be kept."""
    tile = time // TEN_DAYS
    return tile % TILES_90D if tile > signed(r.head_90d) - TILES_90D else -1


@part
def add_spending(r: Any, time: int, amount: int) -> None:
    """Count a purchase of `amount` in every ring that still keeps its tile."""
    tile = time // TEN_MINUTES
    if tile > signed(r.head_1h) - TILES_1H:
        k = tile % TILES_1H
        add(r.count_1h, k, 1, U2_MAX)
        add(r.sum_1h, k, amount, U4_MAX)
        r.max_1h[k] = max(signed(r.max_1h[k]), min(amount, U4_MAX))
    tile = time // TWO_HOURS
    if tile > signed(r.head_24h) - TILES_24H:
        k = tile % TILES_24H
        add(r.count_24h, k, 1, U2_MAX)
        add(r.sum_24h, k, amount, U4_MAX)
        r.max_24h[k] = max(signed(r.max_24h[k]), min(amount, U4_MAX))
    tile = time // DAY
    if tile > signed(r.head_days) - TILES_DAYS:
        k = tile % TILES_DAYS
        add(r.count_days, k, 1, U2_MAX)
        add(r.sum_days, k, amount, U4_MAX)
        r.max_days[k] = max(signed(r.max_days[k]), min(amount, U4_MAX))
    k = place_90d(r, time)
    if k >= 0:
        add(r.count_90d, k, 1, U2_MAX)
        add(r.sum_90d, k, amount, U4_MAX)
        r.max_90d[k] = max(signed(r.max_90d[k]), min(amount, U4_MAX))


@part
def add_refund(r: Any, time: int, amount: int) -> None:
    """Count a refund in the rings of days and of ten days."""
    tile = time // DAY
    if tile > signed(r.head_days) - TILES_DAYS:
        add(r.refund_sum_days, tile % TILES_DAYS, amount, U4_MAX)
    k = place_90d(r, time)
    if k >= 0:
        add(r.refund_sum_90d, k, amount, U4_MAX)


@part
def newest(head: int, tile: int, window: int) -> int:
    """How many tiles, from `head` backwards, lie in the window of `window` tiles that ends with `tile` >= head."""
    return max(window - (tile - head), 0)


@part
def total(tiles: Any, head: int, n: int) -> int:
    """Sum of the newest `n` tiles of a ring, those up to the tile `head`."""
    size = len(tiles)
    k = head % size
    result = signed(0)
    # Over the whole ring, with a choice instead of a branch: so it becomes a few vector instructions.
    for j in range(size):
        age = k - j if j <= k else k - j + size
        result += signed(tiles[j]) if age < n else 0
    return result


@part
def window(counts: Any, sums: Any, maxima: Any, head: int, n: int) -> tuple[int, int, int]:
    """Count, sum and maximum of the newest `n` tiles of the three rings of purchases, those up to the tile `head`."""
    size = len(counts)
    k = head % size
    count, amount, most = signed(0), signed(0), signed(0)
    for j in range(size):
        age = k - j if j <= k else k - j + size
        count += signed(counts[j]) if age < n else 0
        amount += signed(sums[j]) if age < n else 0
        most = max(most, signed(maxima[j]) if age < n else 0)
    return count, amount, most


@part
def see(first: Any, last: Any, hashed: int, day: int) -> bool:
    """Note that the slot of `hashed` was seen on `day`; True where it never was before."""
    k = hashed & np.uint64(len(first) - 1)
    new = bool(first[k] == 0)
    first[k] = day if new else min(signed(first[k]), day)
    last[k] = max(signed(last[k]), day)
    return new


@part
def add_instalments(r: Any, time: int, amount: int, parts: int) -> None:
    """Spread a purchase over the `parts` 30-day periods after its own; the first part takes the remainder."""
    period = time // PERIOD
    for j in range(min(period - signed(r.instalment_head), INSTALMENT_PERIODS)):
        # The period that leaves is `head + j`; its place is taken by the one 25 periods later.
        r.instalments_due[(period - 1 - j) % INSTALMENT_PERIODS] = 0
    r.instalment_head = max(period, signed(r.instalment_head))
    part = amount // parts
    for j in range(1, parts + 1):
        if period + j >= signed(r.instalment_head):
            due = part + amount - part * parts if j == 1 else part
            add(r.instalments_due, (period + j) % INSTALMENT_PERIODS, due, U4_MAX)


@part
def instalments(r: Any, time: int, periods: int) -> int:
    """Sum of the instalments of the `periods` 30-day periods after the one of `time`."""
    period = time // PERIOD
    last = min(period + periods, signed(r.instalment_head) + INSTALMENT_PERIODS - 1)
    return total(r.instalments_due, last, max(last - period, 0))
