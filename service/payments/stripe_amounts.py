"""Amounts as Stripe counts them, which is not always as ISO 4217 does. Exact, never rounded."""

from __future__ import annotations

from typing import Final

from schemas.money import MoneyError, minor_digits

_DEFAULT_DIGITS: Final = 2
# Where Stripe's unit has another number of decimals. ISK and UGX have none, but are sent with two, as they once were;
# they are absent on purpose.
_DIGITS: Final = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)
# Of three decimals, the card networks take two.
_STEP: Final = {digits: 10 if digits > _DEFAULT_DIGITS else 1 for digits in _DIGITS.values()}


def to_stripe(amount: int, currency: str) -> int:
    """Return `amount` (minor units as ISO 4217 has them) in Stripe's. Raise `MoneyError` if that is not exact."""
    digits = _DIGITS.get(currency, _DEFAULT_DIGITS)
    shift = digits - minor_digits(currency)
    factor = int(10 ** abs(shift))
    converted, rest = (amount * factor, 0) if shift >= 0 else divmod(amount, factor)
    if rest or converted % _STEP.get(digits, 1):
        raise MoneyError(f"Stripe has no such amount in {currency}")
    return converted
