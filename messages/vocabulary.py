"""The closed word lists of the contracts."""

from enum import IntEnum
from typing import Literal, get_args

Category = Literal[
    "groceries",
    "dining",
    "apparel",
    "electronics",
    "home",
    "travel",
    "transport",
    "health",
    "education",
    "entertainment",
    "digital_goods",
    "utilities",
    "gift_cards",
    "cash_like",
    "gambling",
    "other",
]
FundStatus = Literal["normal", "interrupted", "withdrawn", "transferred", "closed"]
PaymentMethod = Literal["auto_debit", "manual", "transfer", "other"]
Purpose = Literal["shopping", "travel", "education", "medical", "emergency", "other"]
Verdict = Literal["confirmed", "false_positive", "undecided"]
Indicator = Literal["unemployment_rate", "delinquency_rate", "price_index", "policy_rate"]
PolicyMode = Literal["active", "shadow", "retired"]
#: ISO 4217 codes that the contracts know; an amount in another currency is refused.
Currency = Literal[
    "AED", "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR",
    "JPY", "KRW", "MOP", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RUB", "SAR", "SEK", "SGD", "THB", "TRY",
    "TWD", "USD", "VND", "ZAR",
]  # fmt: skip

CATEGORIES: tuple[str, ...] = get_args(Category)
FUND_STATUSES: tuple[str, ...] = get_args(FundStatus)
PAYMENT_METHODS: tuple[str, ...] = get_args(PaymentMethod)
VERDICTS: tuple[str, ...] = get_args(Verdict)
INDICATORS: tuple[str, ...] = get_args(Indicator)
CURRENCIES: tuple[str, ...] = get_args(Currency)

#: Decimal places of the minor unit where they are not 2 (ISO 4217).
MINOR_DIGITS: dict[str, int] = {"JPY": 0, "KRW": 0, "VND": 0}


class Kind(IntEnum):
    """What an event row is. TICK is no event of an upstream system: it is a timer of the user that came due."""

    TICK = 0
    PURCHASE = 1
    REFUND = 2
    REPAYMENT = 3
    FAILED_DEBIT = 4
    REVERSAL = 5
    BILL_ISSUED = 6
    BILL_RESCHEDULED = 7
    HARDSHIP_PAUSE = 8
    PROVIDENT_FUND = 9
    ACCOUNT_OPENED = 10
    PROFILE_CHANGED = 11
    ACCOUNT_CLOSED = 12
    ERASURE_REQUESTED = 13
    BROWSE = 14
    LOGIN = 15
    LIMIT_REQUEST = 16
    WARNING_FEEDBACK = 17
    FRAUD_CONFIRMED = 18
