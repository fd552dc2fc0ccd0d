"""Catalogue: provident fund, profile, behaviour, feedback and the market."""

from features.feature import Feature
from messages.vocabulary import Kind

_ALL = tuple(kind for kind in Kind if kind is not Kind.TICK)
_FUND = (Kind.PROVIDENT_FUND,)
_PROFILE = (Kind.ACCOUNT_OPENED, Kind.PROFILE_CHANGED)
_BROWSE = (Kind.BROWSE,)
_LOGIN = (Kind.LOGIN,)
_FEEDBACK = (Kind.WARNING_FEEDBACK,)
_FRAUD = (Kind.FRAUD_CONFIRMED,)


def _fund(name: str, unit: str, default: float, meaning: str) -> Feature:
    return Feature(name, "latest 12 entries", unit, default, _FUND, meaning)


def _now(name: str, unit: str, default: float, moved_by: tuple[Kind, ...], meaning: str) -> Feature:
    return Feature(name, "now", unit, default, moved_by, meaning)


ACCOUNT: tuple[Feature, ...] = (
    _fund("fund_known", "flag", 0.0, "1 where the provident fund was ever reported."),
    _fund("fund_status", "index", -1.0, "0 normal, 1 interrupted, 2 withdrawn, 3 transferred, 4 closed; -1 unknown."),
    _fund("fund_months", "months", 0.0, "Months contributed, as last reported."),
    _fund("fund_amount", "minor units", 0.0, "Monthly amount, as last reported."),
    _fund("fund_change", "ratio", 1.0, "Monthly amount / mean of the earlier kept ones, at most 100; 1 without any."),
    _fund("days_since_fund_entry", "days", 730.0, "Whole days since the newest report, at most 730."),
    *(
        Feature(
            f"fund_interruptions_{window}",
            window,
            "entries",
            0.0,
            _FUND,
            "Entries that turned to interrupted (or begin the kept log so), of the latest 12.",
        )
        for window in ("30d", "90d", "365d")
    ),
    *(
        Feature(
            f"fund_status_changes_{window}",
            window,
            "entries",
            0.0,
            _FUND,
            "Entries whose status differs from the one before, of the latest 12.",
        )
        for window in ("30d", "90d", "365d")
    ),
    _now("income_known", "flag", 0.0, _PROFILE, "1 where the monthly income was declared."),
    _now("monthly_income", "minor units", 0.0, _PROFILE, "Declared monthly income; 0 where unknown."),
    _now(
        "income_estimate",
        "minor units",
        0.0,
        (*_PROFILE, *_FUND),
        "Declared monthly income, else the provident fund's monthly amount / 0.24 (employer's and employee's share at "
        "their ceiling of 12 % each: a cautious estimate); 0 where neither is known.",
    ),
    _now("account_known", "flag", 0.0, (Kind.ACCOUNT_OPENED,), "1 where the opening of the account was seen."),
    _now("account_age_days", "days", 0.0, _ALL, "Whole days since the opening, or since the first event if not seen."),
    _now("account_closed", "flag", 0.0, (Kind.ACCOUNT_CLOSED,), "1 where the account was closed."),
    _now("consents_to_increases", "flag", 0.0, _PROFILE, "1 where the user agreed to higher limits."),
    _now("consents_to_automation", "flag", 0.0, _PROFILE, "1 where the user agreed to automated decisions."),
    Feature("browses_30d", "30d", "events", 0.0, _BROWSE, "Goods looked at; 3 ten-day tiles."),
    Feature("risky_browse_share_30d", "30d", "share", 0.0, _BROWSE, "Of them gift cards, cash-like goods, gambling."),
    Feature("logins_30d", "30d", "events", 0.0, _LOGIN, "Logins and attempts; 3 ten-day tiles."),
    Feature("failed_logins_30d", "30d", "events", 0.0, _LOGIN, "Attempts that failed; 3 ten-day tiles."),
    _now("feedback_confirmed", "warnings", 0.0, _FEEDBACK, "Warnings that an analyst confirmed."),
    _now("feedback_false", "warnings", 0.0, _FEEDBACK, "Warnings that an analyst called false."),
    _now("frauds", "events", 0.0, _FRAUD, "Confirmed frauds and charge-backs."),
    _now("days_since_fraud", "days", 9999.0, _FRAUD, "Whole days since the newest one, at most 9999."),
    _now("events_total", "events", 0.0, _ALL, "Events applied."),
    _now("late_events", "events", 0.0, _ALL, "Events that came too late for the windows."),
    _now(
        "market_index", "ratio", 1.0, _PROFILE, "Mean of value / normal of the region's indicators; above 1 is worse."
    ),
)
