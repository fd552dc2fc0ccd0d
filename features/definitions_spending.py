"""Catalogue: facts of the row's event, and spending."""

from features.feature import Feature
from messages.vocabulary import Kind

_ALL = tuple(kind for kind in Kind if kind is not Kind.TICK)
_BUY = (Kind.PURCHASE,)
_REFUND = (Kind.PURCHASE, Kind.REFUND)
_DEVICE = (Kind.PURCHASE, Kind.BROWSE, Kind.LOGIN)
_CITY = (Kind.PURCHASE, Kind.LOGIN)


def _fact(name: str, unit: str, default: float, moved_by: tuple[Kind, ...], meaning: str) -> Feature:
    return Feature(name, "this event", unit, default, moved_by, meaning, "event")


EVENT_FACTS: tuple[Feature, ...] = (
    _fact("event_kind", "index", 0.0, _ALL, "Kind of the event; 0 for a timer."),
    _fact("event_is_timer", "flag", 0.0, (), "1 where a timer came due, not an event."),
    _fact("event_is_purchase", "flag", 0.0, _BUY, "1 for a purchase."),
    _fact("event_amount", "minor units", 0.0, _ALL, "Amount that the event carries."),
    _fact("hour_of_day", "hours", 0.0, _ALL, "Local hour of the row's time, 0 to 23."),
    _fact("event_is_night", "flag", 0.0, _BUY, "1 for a purchase in the night hours of the policy's terms."),
    _fact("event_is_cash_like", "flag", 0.0, _BUY, "1 for a purchase of cash-like goods or gift cards."),
    _fact("event_new_merchant", "flag", 0.0, _BUY, "1 for a purchase at a merchant (hash slot) not seen before."),
    _fact("event_new_device", "flag", 0.0, _DEVICE, "1 where the device (hash slot) was not seen before."),
    _fact("event_new_city", "flag", 0.0, _CITY, "1 where the city (hash slot) was not seen before."),
    _fact(
        "amount_zscore",
        "deviations",
        0.0,
        _BUY,
        "(ln(1 + amount) - mean) / deviation over the user's purchases that arrived earlier, all time; deviation at "
        "least 0.1, result within -20 to 20; 0 with fewer than 5 earlier purchases.",
    ),
    _fact("amount_to_mean", "ratio", 1.0, _BUY, "Amount / mean of the purchases that arrived earlier, at most 1000."),
    _fact("amount_to_income", "ratio", 0.0, _BUY, "Amount / estimated monthly income, at most 1000; 0 if unknown."),
    _fact("hours_since_purchase", "hours", 2160.0, _BUY, "Hours since the newest earlier purchase, 0 to 2160."),
)

_MEASURES = (
    ("count", "purchases", "Number of purchases"),
    ("sum", "minor units", "Sum of purchases"),
    ("mean", "minor units", "Mean purchase, 0 without any"),
    ("max", "minor units", "Greatest purchase"),
)
_WINDOWS = ("1h", "24h", "7d", "30d", "90d")


def _buying(name: str, window: str, unit: str, default: float, meaning: str) -> Feature:
    return Feature(name, window, unit, default, _BUY, meaning)


SPENDING: tuple[Feature, ...] = (
    *(
        _buying(f"spend_{measure}_{window}", window, unit, 0.0, f"{meaning} in the window.")
        for window in _WINDOWS
        for measure, unit, meaning in _MEASURES
    ),
    _buying("purchases_total", "all time", "purchases", 0.0, "Number of purchases ever."),
    _buying("spend_mean_all", "all time", "minor units", 0.0, "Mean purchase ever."),
    _buying("log_amount_mean", "all time", "ln", 0.0, "Mean of ln(1 + amount) over all purchases."),
    _buying("log_amount_deviation", "all time", "ln", 0.0, "Standard deviation (population) of ln(1 + amount)."),
    _buying("days_since_purchase", "730d", "days", 730.0, "Whole days since the newest purchase, at most 730."),
    _buying(
        "count_velocity_1h",
        "1h",
        "ratio",
        1.0,
        "Purchases in 1 h / hourly mean of the last 24 h (of the hours since the first event, if fewer).",
    ),
    _buying("spend_velocity_24h", "24h", "ratio", 1.0, "Spending in 24 h / daily mean of 30 d (or days known)."),
    _buying("spend_acceleration", "7d", "ratio", 1.0, "Daily spending of 7 d / that of 30 d (or days known)."),
    _buying("spend_surge_30d", "30d", "ratio", 1.0, "Daily spending of 30 d / that of 90 d (or days known)."),
    _buying("distinct_merchants_7d", "7d", "merchants", 0.0, "Different merchants (of 64 hash slots)."),
    _buying("distinct_merchants_30d", "30d", "merchants", 0.0, "Different merchants (of 64 hash slots)."),
    _buying("new_merchant_share_30d", "30d", "share", 0.0, "Of the window's merchants, those first seen in it."),
    Feature("distinct_devices_30d", "30d", "devices", 0.0, _DEVICE, "Different devices (of 16 hash slots)."),
    Feature("new_devices_30d", "30d", "devices", 0.0, _DEVICE, "First seen in the window, after the first day."),
    Feature("distinct_cities_30d", "30d", "cities", 0.0, _CITY, "Different cities (of 16 hash slots)."),
    Feature("new_cities_30d", "30d", "cities", 0.0, _CITY, "First seen in the window, after the first day."),
    _buying("night_share_90d", "90d", "share", 0.0, "Purchases in night hours / purchases."),
    _buying("cash_like_share_90d", "90d", "share", 0.0, "Spending on cash-like goods / spending."),
    _buying("gift_card_share_90d", "90d", "share", 0.0, "Spending on gift cards / spending."),
    _buying("green_share_90d", "90d", "share", 0.0, "Spending on certified green goods / spending."),
    _buying("energy_share_90d", "90d", "share", 0.0, "Spending on energy-intensive goods / spending."),
    _buying("gambling_share_90d", "90d", "share", 0.0, "Purchases of gambling / purchases (counts)."),
    _buying(
        "category_shift",
        "90d",
        "share",
        0.0,
        "Total-variation distance of the mix of categories (counts) in the newest 3 ten-day tiles from the 6 before; "
        "0 with fewer than 5 purchases in either.",
    ),
    Feature("refund_sum_30d", "30d", "minor units", 0.0, (Kind.REFUND,), "Sum of refunds."),
    Feature("refund_ratio_90d", "90d", "ratio", 0.0, _REFUND, "Refunds / the greater of purchases and refunds."),
)
