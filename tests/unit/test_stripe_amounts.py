from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import MoneyError, minor_digits
from service.payments.stripe_amounts import to_stripe


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (24_800, "SEK", 24_800),
        (1, "EUR", 1),
        (500, "JPY", 500),
        (500, "CLP", 500),
        # No decimals, and sent with two all the same.
        (5, "ISK", 500),
        (5, "UGX", 500),
        # ISO 4217 gives the ariary two decimals, Stripe none.
        (1200, "MGA", 12),
        # Two decimals at Stripe, whatever its payouts take.
        (1045, "HUF", 1045),
        (1045, "TWD", 1045),
        (5120, "KWD", 5120),
        (0, "KWD", 0),
    ],
)
def test_an_amount_in_stripes_units(amount: int, currency: str, expected: int) -> None:
    assert to_stripe(amount, currency) == expected


@pytest.mark.parametrize(("amount", "currency"), [(5124, "KWD"), (1, "TND"), (1250, "MGA"), (1, "IQD")])
def test_what_stripe_cannot_express_is_refused_and_never_rounded(amount: int, currency: str) -> None:
    with pytest.raises(MoneyError, match=f"Stripe has no such amount in {currency}"):
        to_stripe(amount, currency)


# One of each kind: as ISO has it, two digits more, two fewer, three decimals.
@given(st.integers(0, 10**15), st.sampled_from(["SEK", "JPY", "ISK", "UGX", "MGA", "BHD"]))
def test_no_money_is_won_or_lost(amount: int, currency: str) -> None:
    stripe_digits = {"JPY": 0, "MGA": 0, "BHD": 3}.get(currency, 2)
    try:
        sent = to_stripe(amount, currency)
    except MoneyError:
        assert currency in {"MGA", "BHD"}
        return
    assert sent * 10 ** minor_digits(currency) == amount * 10**stripe_digits
