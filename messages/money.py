"""Amounts in minor units of one book currency, whatever currency an event came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from messages.vocabulary import CURRENCIES, MINOR_DIGITS

#: Roughly how many yuan one major unit of each currency is worth. Static and rounded, so that a book can be tried
#: without a rate source: a deployment that takes foreign currency sets its own.
DEFAULT_RATES: Mapping[str, float] = {
    "AED": 1.95, "AUD": 4.7, "BRL": 1.3, "CAD": 5.2, "CHF": 8.2, "CNY": 1.0, "CZK": 0.31, "DKK": 1.05, "EUR": 7.8,
    "GBP": 9.2, "HKD": 0.92, "HUF": 0.02, "IDR": 0.00044, "ILS": 1.95, "INR": 0.085, "JPY": 0.048, "KRW": 0.0052,
    "MOP": 0.9, "MXN": 0.37, "MYR": 1.6, "NOK": 0.68, "NZD": 4.3, "PHP": 0.125, "PLN": 1.8, "RUB": 0.08, "SAR": 1.9,
    "SEK": 0.7, "SGD": 5.4, "THB": 0.21, "TRY": 0.2, "TWD": 0.23, "USD": 7.2, "VND": 0.00028, "ZAR": 0.4,
}  # fmt: skip


def minor_digits(currency: str) -> int:
    """Decimal places of the currency's minor unit (ISO 4217)."""
    return MINOR_DIGITS.get(currency, 2)


@dataclass(frozen=True)
class Money:
    """The book's currency and what one major unit of each accepted currency is worth, in any common unit.

    Raises ValueError for a currency that the contracts do not know, a rate that is not a positive finite number, and a
    book currency without a rate.
    """

    currency: str = "CNY"
    rates: Mapping[str, float] = field(default_factory=lambda: DEFAULT_RATES)
    _factors: dict[str, float] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for code, rate in self.rates.items():
            if code not in CURRENCIES:
                raise ValueError(f"unknown currency {code!r} in the exchange rates")
            if not (isfinite(rate) and rate > 0):
                raise ValueError(f"exchange rate of {code} must be a positive number, not {rate!r}")
        if self.currency not in self.rates:
            raise ValueError(f"the book's currency {self.currency!r} has no exchange rate")
        book, digits = self.rates[self.currency], minor_digits(self.currency)
        for code, rate in self.rates.items():
            self._factors[code] = rate / book * 10.0 ** (digits - minor_digits(code))
        self._factors[self.currency] = 1.0

    def knows(self, currency: str) -> bool:
        """Whether amounts in `currency` can be converted."""
        return currency in self._factors

    def factor(self, currency: str) -> float:
        """What `convert` multiplies amounts in `currency` with; 0 where the currency has no rate."""
        return self._factors.get(currency, 0.0)

    def convert(self, amount: int, currency: str) -> int:
        """`amount` minor units of `currency` in minor units of the book; halves go to the even neighbour.

        Raises ValueError where the currency has no rate.
        """
        if currency not in self._factors:
            raise ValueError(f"no exchange rate for {currency!r}")
        return amount if currency == self.currency else round(amount * self._factors[currency])

    def convert_column(self, amounts: NDArray[np.int64], currencies: Sequence[str | None]) -> NDArray[np.int64]:
        """`convert` for i8[n]; -1 where the currency has no rate. No currency (None) leaves the amount as it is."""
        codes = set(currencies)
        if codes <= {self.currency, None}:
            return amounts
        converted = amounts.copy()
        column = np.array([code or "" for code in currencies])
        for code in codes - {self.currency, None}:
            rows = column == code
            factor = self._factors.get(str(code))
            converted[rows] = -1 if factor is None else np.rint(amounts[rows] * factor).astype(np.int64)
        return converted
