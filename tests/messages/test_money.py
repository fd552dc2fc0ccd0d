from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.inputs import LARGEST_AMOUNT
from messages.money import DEFAULT_RATES, Money, minor_digits
from messages.vocabulary import CURRENCIES


def test_every_currency_of_the_contracts_has_a_default_rate() -> None:
    assert set(DEFAULT_RATES) == set(CURRENCIES)
    for currency in CURRENCIES:
        assert Money(currency).convert(12_345, currency) == 12_345


def test_minor_units_differ_between_currencies() -> None:
    assert minor_digits("JPY") == 0
    assert Money("CNY", {"CNY": 1.0, "JPY": 0.05}).convert(1000, "JPY") == 5000
    assert Money("JPY", {"CNY": 1.0, "JPY": 0.05}).convert(5000, "CNY") == 1000


@pytest.mark.parametrize(("amount", "converted"), [(1, 0), (3, 2), (5, 2), (7, 4), (8, 4)])
def test_halves_go_to_the_even_neighbour(amount: int, converted: int) -> None:
    assert Money("CNY", {"CNY": 1.0, "USD": 0.5}).convert(amount, "USD") == converted


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, LARGEST_AMOUNT), st.sampled_from([*CURRENCIES, None]))))
def test_a_column_converts_like_its_amounts(pairs: list[tuple[int, str | None]]) -> None:
    money = Money("EUR")
    amounts = np.array([amount for amount, _ in pairs], np.int64)
    expected = [amount if currency is None else money.convert(amount, currency) for amount, currency in pairs]
    assert money.convert_column(amounts, [currency for _, currency in pairs]).tolist() == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, LARGEST_AMOUNT), st.sampled_from(CURRENCIES))
def test_conversion_is_right_to_the_minor_unit(amount: int, currency: str) -> None:
    major = Decimal(amount).scaleb(-minor_digits(currency)) * Decimal(str(DEFAULT_RATES[currency]))
    exact = major.scaleb(2).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert abs(Money("CNY").convert(amount, currency) - exact) <= 1


def test_a_currency_without_rate_is_marked_and_never_guessed() -> None:
    money = Money("CNY", {"CNY": 1.0})
    assert money.convert_column(np.array([5, 6]), ["CNY", "USD"]).tolist() == [5, -1]
    assert not money.knows("USD")
    with pytest.raises(ValueError, match="no exchange rate for 'USD'"):
        money.convert(5, "USD")


@pytest.mark.parametrize(
    ("currency", "rates", "problem"),
    [
        ("CNY", {"USD": 7.0}, "the book's currency 'CNY' has no exchange rate"),
        ("CNY", {"CNY": 1.0, "XBT": 5.0}, "unknown currency 'XBT'"),
        ("CNY", {"CNY": 0.0}, "must be a positive number"),
        ("CNY", {"CNY": 1.0, "USD": float("nan")}, "must be a positive number"),
        ("CNY", {"CNY": 1.0, "USD": float("inf")}, "must be a positive number"),
    ],
)
def test_rates_that_make_no_sense_are_refused(currency: str, rates: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Money(currency, rates)
