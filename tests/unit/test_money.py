"""Decimal text to minor units and back: exact, bounded, by the currency's own number of decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import get_currency_precision, list_currencies
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import MAX_AMOUNT, MoneyError, is_currency, minor_digits, to_decimal, to_minor, to_text

CURRENCIES = sorted(code for code in list_currencies() if is_currency(code))


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("199.00", "SEK", 19900),
        ("199", "SEK", 19900),
        ("0", "SEK", 0),
        ("0.01", "EUR", 1),
        ("10.500000", "EUR", 1050),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        ("10.50", "RSD", 1050),
        ("9999999999999.99", "SEK", MAX_AMOUNT),
    ],
)
def test_to_minor(text: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(text), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "message"),
    [
        ("0.001", "SEK", "expected at most 2 decimals in SEK"),
        ("1.2345", "KWD", "expected at most 3 decimals in KWD"),
        ("0.5", "JPY", "JPY has no decimals"),
        ("0." + "1" * 90, "SEK", "expected at most 2 decimals in SEK"),
        ("-0.01", "SEK", "expected an amount of 0 or more"),
        ("NaN", "SEK", "expected an amount of 0 or more"),
        ("Infinity", "SEK", "expected an amount of 0 or more"),
        ("10000000000000", "SEK", "expected an amount up to 9999999999999.99 SEK"),
        ("1e999999", "SEK", "expected an amount up to 9999999999999.99 SEK"),
        ("1", "XAU", 'expected an ISO 4217 currency code such as "SEK"'),
        ("1", "sek", 'expected an ISO 4217 currency code such as "SEK"'),
        ("1", "", 'expected an ISO 4217 currency code such as "SEK"'),
    ],
)
def test_what_is_not_exact_or_no_amount_is_refused(text: str, currency: str, message: str) -> None:
    with pytest.raises(MoneyError) as raised:
        to_minor(Decimal(text), currency)
    assert str(raised.value) == message


def test_decimals_are_those_of_iso_4217_not_the_ones_people_write() -> None:
    assert [minor_digits(code) for code in ("SEK", "JPY", "KWD", "CLF", "RSD", "IQD")] == [2, 0, 3, 4, 2, 3]
    # The reason for our own table: where this starts to fail, it can go.
    assert [get_currency_precision(code) for code in ("RSD", "IQD")] == [0, 0]


@given(st.integers(0, MAX_AMOUNT), st.sampled_from(CURRENCIES))
def test_there_and_back(minor: int, currency: str) -> None:
    text = to_text(minor, currency)
    assert to_minor(Decimal(text), currency) == minor
    assert Decimal(text) == to_decimal(minor, currency)
    assert len(text.partition(".")[2]) == minor_digits(currency)


@given(st.decimals(min_value=-1, max_value=10**14, places=5), st.sampled_from(CURRENCIES))
def test_an_amount_is_taken_exactly_or_not_at_all(amount: Decimal, currency: str) -> None:
    try:
        minor = to_minor(amount, currency)
    except MoneyError:
        scaled = amount.scaleb(minor_digits(currency))
        assert amount < 0 or scaled > MAX_AMOUNT or scaled != scaled.to_integral_value()
    else:
        assert Decimal(minor).scaleb(-minor_digits(currency)) == amount
        assert 0 <= minor <= MAX_AMOUNT
