"""Sums and taxes of documents are exact, whatever is sold at whatever rates."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.amounts import TaxGroup, add_up
from tests.support.documents import line

RATES = st.sampled_from(["0", "0.021", "0.055", "0.06", "0.07", "0.10", "0.1", "0.19", "0.25", "0.333333", "1"])
LINES = st.lists(
    st.builds(line, quantity=st.integers(1, 10**6), price=st.integers(0, 10**9), rate=RATES), min_size=1, max_size=20
)


@given(LINES, st.integers(0, 10**9), st.data())
def test_every_row_and_every_column_adds_up(lines: list, shipping: int, data: st.DataObject) -> None:
    due = sum(each.quantity * each.unit_price for each in lines) + shipping
    taken = data.draw(st.one_of(st.none(), st.integers(0, due), st.integers(due, due * 2)))
    amounts = add_up(lines, shipping=shipping, captured=taken)

    assert amounts.total == (due if taken is None else taken)
    assert amounts.goods + amounts.shipping + amounts.adjustment == amounts.total
    assert sum(group.gross for group in amounts.groups) == amounts.total
    assert sum(group.net for group in amounts.groups) + amounts.tax == amounts.total
    assert [group.rate for group in amounts.groups] == sorted({group.rate for group in amounts.groups}, reverse=True)
    for group in amounts.groups:
        assert group.gross >= 0
        # The rate applied to the net amount gives the tax, up to the rounding of the tax itself.
        assert abs(group.net * group.rate - group.tax) <= (1 + group.rate) / 2


@given(LINES, st.integers(0, 10**9))
def test_shipping_is_shared_in_proportion(lines: list, shipping: int) -> None:
    amounts = add_up(lines, shipping=shipping)
    for group in amounts.groups:
        goods = sum(each.quantity * each.unit_price for each in lines if each.tax_rate == group.rate)
        if amounts.goods:
            assert abs((group.gross - goods) * amounts.goods - shipping * goods) < amounts.goods


def test_one_rate_takes_goods_and_shipping() -> None:
    amounts = add_up([line(price=19900, quantity=2), line(price=5000)], shipping=4900)
    assert (amounts.goods, amounts.shipping, amounts.adjustment, amounts.total) == (44800, 4900, 0, 49700)
    assert amounts.groups == (TaxGroup(Decimal("0.25"), 49700, 9940),)
    assert amounts.groups[0].net == 39760


def test_rates_written_differently_are_one_rate() -> None:
    amounts = add_up([line(rate="0.25"), line(rate="0.250000")], shipping=0)
    assert [group.gross for group in amounts.groups] == [20000]


def test_the_remainder_goes_where_most_of_it_belongs() -> None:
    # 100 over 1/3 and 2/3: 33.33 and 66.67.
    amounts = add_up([line(price=1000, rate="0.25"), line(price=2000, rate="0.06")], shipping=100)
    assert [group.gross for group in amounts.groups] == [1033, 2067]


def test_equal_remainders_go_to_the_higher_rate() -> None:
    amounts = add_up([line(price=1000, rate="0.06"), line(price=1000, rate="0.25")], shipping=1)
    assert [(group.rate, group.gross) for group in amounts.groups] == [(Decimal("0.25"), 1001), (Decimal("0.06"), 1000)]


@pytest.mark.parametrize(("gross", "tax"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_minor_unit_of_tax_rounds_to_the_even_one(gross: int, tax: int) -> None:
    # At 100 % the tax is half the gross amount: 0.5, 1.5, 2.5, 3.5.
    assert add_up([line(price=gross, rate="1")], shipping=0).tax == tax


def test_a_smaller_capture_shows_as_an_adjustment() -> None:
    amounts = add_up([line(price=10000), line(price=5000, rate="0.06")], shipping=1000, captured=14000)
    assert amounts.adjustment == -2000
    assert [group.gross for group in amounts.groups] == [9333, 4667]


def test_free_goods_leave_the_shipping_at_their_highest_rate() -> None:
    amounts = add_up([line(price=0, rate="0.06"), line(price=0, rate="0.25")], shipping=4900)
    assert amounts.groups == (TaxGroup(Decimal("0.25"), 4900, 980),)


def test_nothing_at_all_is_still_a_row() -> None:
    assert add_up([line(price=0)], shipping=0).groups == (TaxGroup(Decimal("0.25"), 0, 0),)
