"""Kernels that apply one event to a record, and that state the facts of the event itself."""

import math
from typing import Any

import numpy as np

from features.fund import contribute, income_estimate
from features.ledger import issue, pay, reschedule
from features.reading_spending import log_deviation, log_mean, ratio
from features.record import CATEGORY_COUNT, CITY_SLOTS, DAY, DEVICE_SLOTS, HOUR, MERCHANT_SLOTS, RECENT_EVENTS
from features.tiles import (
    U1_MAX,
    U2_MAX,
    U4_MAX,
    add,
    add_instalments,
    add_refund,
    add_spending,
    place_90d,
    see,
)
from messages.columns import (
    FLAG_CONSENTS_TO_AUTOMATION,
    FLAG_CONSENTS_TO_INCREASES,
    FLAG_ENERGY_INTENSIVE,
    FLAG_GREEN,
    FLAG_SUCCEEDED,
    PRESENT_CONSENT_TO_AUTOMATION,
    PRESENT_CONSENT_TO_INCREASES,
    PRESENT_INCOME,
    PRESENT_REGION,
)
from messages.compiled import part, signed
from messages.vocabulary import CATEGORIES, VERDICTS, Kind

CASH_LIKE, GIFT_CARDS = CATEGORIES.index("cash_like"), CATEGORIES.index("gift_cards")
GAMBLING = CATEGORIES.index("gambling")
CONFIRMED, FALSE_POSITIVE = VERDICTS.index("confirmed"), VERDICTS.index("false_positive")

PURCHASE, REFUND, REPAYMENT = int(Kind.PURCHASE), int(Kind.REFUND), int(Kind.REPAYMENT)
FAILED_DEBIT, REVERSAL = int(Kind.FAILED_DEBIT), int(Kind.REVERSAL)
BILL_ISSUED, BILL_RESCHEDULED = int(Kind.BILL_ISSUED), int(Kind.BILL_RESCHEDULED)
HARDSHIP_PAUSE, PROVIDENT_FUND = int(Kind.HARDSHIP_PAUSE), int(Kind.PROVIDENT_FUND)
ACCOUNT_OPENED, PROFILE_CHANGED = int(Kind.ACCOUNT_OPENED), int(Kind.PROFILE_CHANGED)
ACCOUNT_CLOSED, ERASURE_REQUESTED = int(Kind.ACCOUNT_CLOSED), int(Kind.ERASURE_REQUESTED)
BROWSE, LOGIN = int(Kind.BROWSE), int(Kind.LOGIN)
WARNING_FEEDBACK, FRAUD_CONFIRMED = int(Kind.WARNING_FEEDBACK), int(Kind.FRAUD_CONFIRMED)

#: z-score: fewest earlier purchases, smallest deviation of ln(1 + amount), greatest result.
HISTORY_MINIMUM, DEVIATION_MINIMUM, ZSCORE_MAX = 5, 0.1, 20.0
HOURS_MAX = 2_160.0


@part
def thousandths_of_log(amount: int) -> int:
    """round(1000 ln(1 + amount)): what the history sums."""
    return int(round(1000.0 * math.log1p(float(amount))))  # noqa: RUF046 - numba's round gives a float


@part
def is_night(time: int, terms: Any) -> bool:
    """True where the local hour of `time` (s) is within the terms' night, which may wrap around midnight."""
    hour = (time + terms.utc_offset) % DAY // HOUR
    if terms.night_start <= terms.night_end:
        return bool(terms.night_start <= hour < terms.night_end)
    return bool(hour >= terms.night_start or hour < terms.night_end)


@part
def clear_facts(f: Any) -> None:
    """Fill the event facts of a row that has no event."""
    f.event_kind = 0.0
    f.event_is_timer = 0.0
    f.event_is_purchase = 0.0
    f.event_amount = 0.0
    f.hour_of_day = 0.0
    f.event_is_night = 0.0
    f.event_is_cash_like = 0.0
    f.event_new_merchant = 0.0
    f.event_new_device = 0.0
    f.event_new_city = 0.0
    f.amount_zscore = 0.0
    f.amount_to_mean = 1.0
    f.amount_to_income = 0.0
    f.hours_since_purchase = HOURS_MAX


@part
def state_facts(r: Any, e: Any, f: Any, terms: Any) -> None:
    """Fill the event facts of `e` against what the record knew before it."""
    clear_facts(f)
    f.event_kind = e.kind
    f.event_amount = e.amount
    f.hour_of_day = (e.time + terms.utc_offset) % DAY // HOUR
    if e.device != 0:
        f.event_new_device = 1.0 if r.device_first[e.device & np.uint64(DEVICE_SLOTS - 1)] == 0 else 0.0
    if (e.kind == PURCHASE or e.kind == LOGIN) and e.city != 0:
        f.event_new_city = 1.0 if r.city_first[e.city & np.uint64(CITY_SLOTS - 1)] == 0 else 0.0
    if e.kind != PURCHASE:
        return
    f.event_is_purchase = 1.0
    f.event_is_night = 1.0 if is_night(e.time, terms) else 0.0
    f.event_is_cash_like = 1.0 if e.category == CASH_LIKE or e.category == GIFT_CARDS else 0.0
    f.event_new_merchant = 1.0 if r.merchant_first[e.merchant & np.uint64(MERCHANT_SLOTS - 1)] == 0 else 0.0
    count = signed(r.purchases)
    if count >= HISTORY_MINIMUM:
        deviation = max(log_deviation(count, r.log_sum, r.log_square_sum), DEVIATION_MINIMUM)
        zscore = (thousandths_of_log(e.amount) / 1000.0 - log_mean(count, r.log_sum)) / deviation
        f.amount_zscore = max(min(zscore, ZSCORE_MAX), -ZSCORE_MAX)
    f.amount_to_mean = ratio(float(e.amount) * count, float(r.amount_total), 1000.0, 1.0)
    f.amount_to_income = ratio(float(e.amount), income_estimate(r), 1000.0, 0.0)
    if r.last_purchase != 0:
        f.hours_since_purchase = max(min((e.time - signed(r.last_purchase)) / HOUR, HOURS_MAX), 0.0)


@part
def arrive(r: Any, e: Any) -> bool:
    """Enter the event into the ring of recent ids; False where it is there already."""
    for k in range(RECENT_EVENTS):
        if r.recent[k] == e.event:
            return False
    r.recent[r.recent_next] = e.event
    r.recent_next = (signed(r.recent_next) + 1) % RECENT_EVENTS
    return True


@part
def apply(r: Any, s: Any, e: Any, terms: Any) -> None:
    """Apply the event to the record, whose rings have been turned to the newest time."""
    kind, time = e.kind, e.time
    if kind == PURCHASE:
        _purchase(r, e, terms)
    elif kind == REFUND:
        add_refund(r, time, e.amount)
    elif kind == REPAYMENT:
        pay(r, s, e, e.amount)
    elif kind == FAILED_DEBIT:
        k = place_90d(r, time)
        if k >= 0:
            add(r.failed_debits_90d, k, 1, U2_MAX)
    elif kind == REVERSAL:
        pay(r, s, e, -e.amount)
    elif kind == BILL_ISSUED:
        issue(r, s, e)
    elif kind == BILL_RESCHEDULED:
        reschedule(r, s, e)
    elif kind == HARDSHIP_PAUSE:
        if time > r.paused_from or (time == r.paused_from and e.until > r.paused_until):
            r.paused_from = time
            r.paused_until = e.until
    elif kind == PROVIDENT_FUND:
        contribute(r, time, min(e.amount, U4_MAX), signed(e.months), signed(e.status))
    elif kind == BROWSE or kind == LOGIN:  # noqa: SIM109 - what stands behind `in` could raise
        _behave(r, e)
    else:
        _administer(r, e)


@part
def _purchase(r: Any, e: Any, terms: Any) -> None:
    time, amount, day = e.time, e.amount, e.time // DAY
    add_spending(r, time, amount)
    k = place_90d(r, time)
    if k >= 0:
        if is_night(time, terms):
            add(r.night_count_90d, k, 1, U2_MAX)
        if e.category == CASH_LIKE:
            add(r.cash_like_sum_90d, k, amount, U4_MAX)
        if e.category == GIFT_CARDS:
            add(r.gift_card_sum_90d, k, amount, U4_MAX)
        if e.flags & FLAG_GREEN:
            add(r.green_sum_90d, k, amount, U4_MAX)
        if e.flags & FLAG_ENERGY_INTENSIVE:
            add(r.energy_sum_90d, k, amount, U4_MAX)
        add(r.category_count_90d, k * CATEGORY_COUNT + e.category, 1, U1_MAX)
    log = thousandths_of_log(amount)
    r.purchases += 1
    r.amount_total += amount
    r.log_sum += log
    r.log_square_sum += log * log
    r.last_purchase = max(time, signed(r.last_purchase))
    see(r.merchant_first, r.merchant_last, e.merchant, day)
    if e.device != 0:
        see(r.device_first, r.device_last, e.device, day)
    if e.city != 0:
        see(r.city_first, r.city_last, e.city, day)
    if e.instalments > 1:
        add_instalments(r, time, amount, signed(e.instalments))


@part
def _behave(r: Any, e: Any) -> None:
    day = e.time // DAY
    k = place_90d(r, e.time)
    if e.device != 0:
        see(r.device_first, r.device_last, e.device, day)
    if e.kind == LOGIN:
        if e.city != 0:
            see(r.city_first, r.city_last, e.city, day)
        if k >= 0:
            add(r.logins_90d, k, 1, U2_MAX)
            if e.flags & FLAG_SUCCEEDED == 0:
                add(r.failed_logins_90d, k, 1, U2_MAX)
    elif k >= 0:
        add(r.browses_90d, k, 1, U2_MAX)
        if e.category == CASH_LIKE or e.category == GIFT_CARDS or e.category == GAMBLING:
            add(r.risky_browses_90d, k, 1, U2_MAX)


@part
def _administer(r: Any, e: Any) -> None:
    time = e.time
    if e.kind == ACCOUNT_OPENED:
        r.opened = time if r.opened == 0 else min(time, signed(r.opened))
        _change_profile(r, e)
    elif e.kind == PROFILE_CHANGED:
        _change_profile(r, e)
    elif e.kind == ACCOUNT_CLOSED:
        r.closed = max(time, signed(r.closed))
    elif e.kind == ERASURE_REQUESTED:
        r.erasure = max(time, signed(r.erasure))
    elif e.kind == WARNING_FEEDBACK:
        if e.status == CONFIRMED:
            r.feedback_confirmed = min(signed(r.feedback_confirmed) + 1, U2_MAX)
        elif e.status == FALSE_POSITIVE:
            r.feedback_false = min(signed(r.feedback_false) + 1, U2_MAX)
    elif e.kind == FRAUD_CONFIRMED:
        r.frauds = min(signed(r.frauds) + 1, U2_MAX)
        r.last_fraud = max(time, signed(r.last_fraud))


@part
def _change_profile(r: Any, e: Any) -> None:
    """Newest by time; of two at the same second the greater income or region counts, and consent must be in both."""
    time = e.time
    if e.present & PRESENT_INCOME and (time > r.income_time or (time == r.income_time and e.income > r.income)):
        r.income_time = time
        r.income = e.income
    if e.present & PRESENT_REGION and (time > r.region_time or (time == r.region_time and e.region > r.region)):
        r.region_time = time
        r.region = e.region
    if e.present & PRESENT_CONSENT_TO_INCREASES:
        given = 1 if e.flags & FLAG_CONSENTS_TO_INCREASES else 0
        if time > r.increases_time or (time == r.increases_time and given < r.consents_to_increases):
            r.increases_time = time
            r.consents_to_increases = given
    if e.present & PRESENT_CONSENT_TO_AUTOMATION:
        given = 1 if e.flags & FLAG_CONSENTS_TO_AUTOMATION else 0
        if time > r.automation_time or (time == r.automation_time and given < r.consents_to_automation):
            r.automation_time = time
            r.consents_to_automation = given
