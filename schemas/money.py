"""Money: decimal text outside, an integer in minor units of an ISO 4217 currency inside. Exact, never rounded."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cache
from typing import Final

from babel.numbers import get_currency_precision, list_currencies

# Minor units. Below 2**53, so that a JSON number is exact too, and small enough for thousands to be added in a bigint.
MAX_AMOUNT: Final = 10**15 - 1

# ISO 4217's minor units where Babel's table (CLDR) tells how many decimals people write instead. Providers count in
# ISO's.
_ISO_DIGITS: Final = {
    "AFN": 2, "ALL": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2, "MGA": 2, "MMK": 2, "RSD": 2, "SLL": 2,
    "SOS": 2, "SYP": 2, "YER": 2,
}  # fmt: skip

# Metals, bond units and test codes: ISO 4217 gives them no minor unit, so nobody pays in them.
_NO_MINOR_UNIT: Final = frozenset(
    {"XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XFO", "XFU", "XPD", "XPT", "XRE", "XSU", "XTS", "XUA", "XXX"}
)

_EXACT: Final = Context(prec=64, traps=[Inexact, InvalidOperation])


class MoneyError(ValueError):
    """The amount or the currency cannot be used. The message says what was expected; the caller adds the field."""


@cache
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies()) - _NO_MINOR_UNIT


def is_currency(code: str) -> bool:
    """Return whether `code` is an ISO 4217 currency that amounts can be in."""
    return code in _currencies()


@cache
def minor_digits(currency: str) -> int:
    """Return how many decimals the currency has: SEK 2, JPY 0, KWD 3. Raise `MoneyError` for an unknown one."""
    if not is_currency(currency):
        raise MoneyError('expected an ISO 4217 currency code such as "SEK"')
    return _ISO_DIGITS.get(currency, get_currency_precision(currency))


def to_minor(amount: Decimal, currency: str) -> int:
    """Return `amount`, 0 or more, in minor units. Raise `MoneyError` if that is not exact or beyond the bound."""
    digits = minor_digits(currency)
    if not amount.is_finite() or amount < 0:
        raise MoneyError("expected an amount of 0 or more")
    if amount.adjusted() + digits > _EXACT.prec or amount > to_decimal(MAX_AMOUNT, currency):
        raise MoneyError(f"expected an amount up to {to_text(MAX_AMOUNT, currency)} {currency}")
    try:
        minor = _EXACT.scaleb(amount, digits)
    except (Inexact, InvalidOperation):
        minor = amount
    if minor != minor.to_integral_value():
        raise MoneyError(
            f"expected at most {digits} decimals in {currency}" if digits else f"{currency} has no decimals"
        )
    return int(minor)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Return minor units as a decimal number with all of the currency's decimals: 4900 SEK is 49.00."""
    return Decimal(minor).scaleb(-minor_digits(currency), context=_EXACT)


def to_text(minor: int, currency: str) -> str:
    """Return minor units as decimal text with all of the currency's decimals: 4900 SEK is "49.00"."""
    return f"{to_decimal(minor, currency):f}"
