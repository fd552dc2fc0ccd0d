"""The state record of one user: a fixed-size numpy record of rolling tiles, a ledger, logs and the standing.

Everything the kernel keeps is a sum, a minimum, a maximum, a newest-by-time register, or a list kept sorted by time:
the result does not depend on the order in which events of the retained span arrive. All numbers are integers (or are
derived from integers when read), so nothing depends on the order of floating-point additions either.

Times are seconds since 1970-01-01 UTC in u4 (until 2106), days are days since 1970 in u2 (until 2149); 0 is "never".
Amounts are minor units of the book's currency. Tile sums and counts saturate at their dtype's maximum.
"""

from typing import Any

import numpy as np

SCHEMA_VERSION = 1

HOUR, DAY = 3_600, 86_400
#: Width in seconds and number of the tiles of each ring; together they make the windows 1 h, 24 h, 7 d / 30 d, 90 d.
TEN_MINUTES, TWO_HOURS, TEN_DAYS = 600, 7_200, 10 * DAY
TILES_1H, TILES_24H, TILES_30D, TILES_90D = 6, 12, 30, 9
#: The ring of days keeps a few more than its window, so that what was bought since the latest monthly bill is known.
TILES_DAYS = 36
CATEGORY_COUNT = 16
MERCHANT_SLOTS, DEVICE_SLOTS, CITY_SLOTS = 64, 16, 16
BILLS, FUND_LOG, UNASSIGNED, RECENT_EVENTS = 6, 12, 8, 24
INSTALMENT_PERIODS = 25  # periods of 30 days since 1970: the current one and the 24 after it
MODEL_INPUTS_MAX = 40
TRIGGERS_MAX = 32

BILL = np.dtype(
    [
        ("bill", "u8"),  # hash of bill_id; 0: free slot
        ("issued", "u4"),  # 0: known only from a repayment or a reschedule so far
        ("due", "u4"),  # the newest agreed
        ("first_due", "u4"),  # as first issued
        ("agreed", "u4"),  # time of the agreement that set `due` (issue or reschedule): the newest counts
        ("last_paid", "u4"),  # greatest time of a repayment
        ("amount", "u4"),
        ("minimum", "u4"),
        ("carries", "u4"),  # 0 or 1
        ("paid", "i8"),  # repayments - reversals that name the bill
        ("paid_by_due", "i8"),  # of `paid`, what came at or before `first_due` (or before the bill was known)
    ],
    align=True,
)

_PAYMENT = np.dtype([("time", "i8"), ("amount", "i8")], align=True)  # time 0: free; reversals are negative

_FUND_ENTRY = np.dtype(
    [
        ("time", "u4"),  # 0: free
        ("amount", "u4"),
        ("months", "u2"),
        ("status", "u2"),  # index in FUND_STATUSES
    ],
    align=True,
)

#: The part that the kernels own.
_FEATURE_STATE: list[tuple[str, str] | tuple[str, str, tuple[int]] | tuple[str, np.dtype, tuple[int]]] = [
    # life of the account
    ("user", "u8"),  # stable hash of the user id; orders the ticks of one instant
    ("opened", "u4"),  # 0: no account_opened seen
    ("closed", "u4"),
    ("erasure", "u4"),  # time of the newest erasure request
    ("first_seen", "u4"),
    ("last_seen", "u4"),  # greatest event time
    ("events", "u4"),  # applied, without duplicates
    ("late", "u4"),  # of them, too old for the tiles; still in the history sums and the ledger
    ("next_timer", "u4"),  # when the user wants a TICK next; 0: never
    # spending rings: index of the newest tile (time // width) and the tiles, addressed by tile index % number of tiles
    ("head_1h", "u4"),
    ("head_24h", "u4"),
    ("head_days", "u4"),
    ("head_90d", "u4"),
    ("count_1h", "u2", (TILES_1H,)),
    ("sum_1h", "u4", (TILES_1H,)),
    ("max_1h", "u4", (TILES_1H,)),
    ("count_24h", "u2", (TILES_24H,)),
    ("sum_24h", "u4", (TILES_24H,)),
    ("max_24h", "u4", (TILES_24H,)),
    ("count_days", "u2", (TILES_DAYS,)),
    ("sum_days", "u4", (TILES_DAYS,)),
    ("max_days", "u4", (TILES_DAYS,)),
    ("refund_sum_days", "u4", (TILES_DAYS,)),
    ("count_90d", "u2", (TILES_90D,)),
    ("sum_90d", "u4", (TILES_90D,)),
    ("max_90d", "u4", (TILES_90D,)),
    # further sums on the ten-day tiles
    ("night_count_90d", "u2", (TILES_90D,)),
    ("cash_like_sum_90d", "u4", (TILES_90D,)),
    ("gift_card_sum_90d", "u4", (TILES_90D,)),
    ("green_sum_90d", "u4", (TILES_90D,)),
    ("energy_sum_90d", "u4", (TILES_90D,)),
    ("refund_sum_90d", "u4", (TILES_90D,)),
    ("failed_debits_90d", "u2", (TILES_90D,)),
    ("browses_90d", "u2", (TILES_90D,)),
    ("risky_browses_90d", "u2", (TILES_90D,)),
    ("logins_90d", "u2", (TILES_90D,)),
    ("failed_logins_90d", "u2", (TILES_90D,)),
    ("category_count_90d", "u1", (TILES_90D * CATEGORY_COUNT,)),  # [tile * CATEGORY_COUNT + category]
    # own history: purchases ever, with sums of round(1000 ln(1 + amount)) and of its square
    ("purchases", "u4"),
    ("amount_total", "i8"),
    ("log_sum", "i8"),
    ("log_square_sum", "i8"),
    ("last_purchase", "u4"),
    # first and last day on which a hash slot was seen: distinct counts for any window, in any order
    ("merchant_first", "u2", (MERCHANT_SLOTS,)),
    ("merchant_last", "u2", (MERCHANT_SLOTS,)),
    ("device_first", "u2", (DEVICE_SLOTS,)),
    ("device_last", "u2", (DEVICE_SLOTS,)),
    ("city_first", "u2", (CITY_SLOTS,)),
    ("city_last", "u2", (CITY_SLOTS,)),
    # instalments falling due per 30-day period (period index = day // 30, addressed % INSTALMENT_PERIODS)
    ("instalment_head", "u4"),
    ("instalments_due", "u4", (INSTALMENT_PERIODS,)),
    # ledger: the latest bills, sorted by (due, bill), and what fell out of them
    ("bills", BILL, (BILLS,)),
    ("unassigned", _PAYMENT, (UNASSIGNED,)),  # latest repayments and reversals without a bill, sorted by time
    ("credit", "i8"),  # such that fell out, and overpayments of bills that fell out; spent when read (`settle`)
    ("arrears", "i8"),  # left unpaid on bills that fell out; never reduced
    ("arrears_due", "u4"),  # oldest due time among them
    ("past_bills", "u2"),  # bills over more than nothing that fell out: their number, and of them
    ("past_on_time", "u2"),
    ("past_minimum_only", "u2"),
    ("past_early", "u2"),
    ("past_lead_days", "i4"),  # sum of (first due - last paid) in days, floored, each within -180 to 180
    ("paused_from", "u4"),
    ("paused_until", "u4"),
    # provident fund: latest entries in order of time
    ("fund", _FUND_ENTRY, (FUND_LOG,)),
    # profile: newest-by-time registers, each with the time of the event that set it
    ("income_time", "u4"),
    ("region_time", "u4"),
    ("increases_time", "u4"),
    ("automation_time", "u4"),
    ("income", "i8"),  # per month; 0: unknown
    ("region", "u8"),
    ("consents_to_increases", "u1"),
    ("consents_to_automation", "u1"),
    ("feedback_confirmed", "u2"),
    ("feedback_false", "u2"),
    ("frauds", "u2"),
    ("last_fraud", "u4"),
    # the vector of one open training example, as scored (0: none open)
    ("example_opened", "u4"),  # time of the bill at which it was scored
    ("example_event", "u8"),  # hash of that event's id
    # what decide() keeps of it: the time of the row that was scored, the hash of the inputs' names, and their values
    ("example_scored", "u4"),
    ("example_schema", "u4"),
    ("example_inputs", "f4", (MODEL_INPUTS_MAX,)),
    # ring of recent event ids, in order of arrival: repeats of these are dropped
    ("recent_next", "u1"),
    ("recent", "u8", (RECENT_EVENTS,)),
]

#: The part that the policy owns: what was decided about the user so far.
_STANDING = [
    ("limit", "i8"),
    ("starting_limit", "i8"),
    ("limit_before_freeze", "i8"),
    ("limit_version", "u4"),  # 0: no limit known yet
    ("limit_changed", "u4"),
    ("limit_raised", "u4"),
    ("limit_cut", "u4"),
    ("frozen", "u1"),  # 0: open, 1: frozen, 2: closed
    ("grade", "u1"),  # 0: none yet, 1: A, 2: B, 3: C
    ("grade_changed", "u4"),
    ("published_probability", "f4"),  # of the newest score-changes message; valid once grade is not 0
    ("collection_step", "u1"),  # 0: none; else index + 1 of the policy's collection steps
    ("collection_changed", "u4"),
    # guard rails: what was decided in the period that began at `counted_from`
    ("counted_from", "u4"),
    ("raises_counted", "u1"),
    ("cuts_counted", "u1"),
    ("warnings_counted", "u1"),
    # per trigger id of the policy (1-based, index id - 1)
    ("warning_severity", "u1", (TRIGGERS_MAX,)),  # 0: closed
    ("warning_since", "u4", (TRIGGERS_MAX,)),  # opened at, or closed at
]


def _size(layout: np.dtype[Any]) -> int:
    """Bytes of `layout` that belong to a field."""
    if layout.subdtype is not None:
        return _size(layout.base) * (layout.itemsize // layout.base.itemsize)
    if layout.fields is None:
        return layout.itemsize
    return sum(_size(field[0]) for field in layout.fields.values())


def _without_gaps(fields: list[Any]) -> np.dtype[np.void]:
    """A layout in which every field is aligned and no byte belongs to none, a whole number of 8-byte words long.

    Aligned fields load fast; bytes of no field would be left undefined by copies, and records are compared and packed
    as bytes.
    """
    ordered = sorted(fields, key=lambda field: -np.dtype([field], align=True).alignment)
    filler = -_size(np.dtype(fields)) % 8
    layout = np.dtype([*ordered, ("filler", "u1", (filler,))], align=True)
    if layout.itemsize != _size(layout):
        raise TypeError("a record has gaps")
    return layout


RECORD = _without_gaps([("schema", "u2"), *_FEATURE_STATE, *_STANDING])

#: Names of the fields that the kernels own.
FEATURE_FIELDS: tuple[str, ...] = tuple(field[0] for field in _FEATURE_STATE)
#: And of those that the policy owns.
STANDING_FIELDS: tuple[str, ...] = tuple(str(field[0]) for field in _STANDING)
