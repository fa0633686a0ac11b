"""The normal form of an order: equal for bodies that mean the same, and exact about where others differ."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.orders import IntakeOrder
from service.shipping.errors import InvalidRequest
from service.shipping.order_content import OrderContent, differences, normalise
from tests.support.orders import order_body


def content(body: dict[str, Any]) -> OrderContent:
    order = IntakeOrder.model_validate_json(json.dumps(body))
    return normalise(order, currency=order.currency or "SEK", locale=order.locale or "sv-SE")


def difference(changes: dict[str, Any]) -> list[str]:
    return [str(each) for each in differences(content(order_body()).document, content(order_body(changes)).document)]


def test_amounts() -> None:
    found = content(order_body())
    assert (found.shipping_amount, found.unit_prices) == (4900, (19900, 1950))
    assert found.total_amount == 4900 + 2 * 19900 + 3 * 1950
    assert found.pieces == 5
    assert [(each.goods_amount, each.pieces) for each in found.shipments] == [(2 * 19900 + 1950, 3)]


def test_what_the_currency_cannot_express_is_named() -> None:
    with pytest.raises(InvalidRequest) as raised:
        content(order_body({"currency": "JPY", "lines.0.unitPrice": "19.95"}))
    assert str(raised.value) == "lines[0].unitPrice: JPY has no decimals; lines[1].unitPrice: JPY has no decimals"


def test_a_total_that_would_not_fit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"^lines: expected a total up to 9999999999999\.99 SEK$"):
        content(order_body({"lines.0.unitPrice": "9999999999999.99"}))


# Each says the same in other words.
SPELLINGS: dict[str, list[Any]] = {
    "currency": ["SEK", "sek", " SEK", None],
    "locale": ["sv-SE", "sv_SE", "sv-se", ""],
    "customer.name": ["Åsa Öberg", unicodedata.normalize("NFD", "Åsa Öberg"), " Åsa Öberg\n"],
    "customer.email": ["asa@example.com", "asa@EXAMPLE.com"],
    "shippingAddress.name": ["Åsa Öberg", "", None],
    "shippingAddress.country": ["SE", "se"],
    "shippingAddress.region": [None, "", " "],
    "billingAddress": [None],
    "orderNumber": ["100001", 100001],
    "shippingAmount": ["49.00", "49", 49, 49.0, "49.0000"],
    "lines.0.quantity": [2, "2", "2.0", 2.0],
    "lines.0.unitPrice": ["199.00", 199, "199."],
    "lines.0.taxRate": ["0.25", 0.25, ".25", "0.250000000"],
    "lines.0.lineId": ["43243", 43243],
    "shipments.0.lines": [{"43243": 2, "43244": 1}, {"43244": "1", "43243": 2.0}],
    "shipments.0.capture": [True, "true", 1],
    "waitingForPayment": [False, 0, "no"],
    "extra": [None, "ignored"],
}


@given(
    st.fixed_dictionaries({path: st.sampled_from(values) for path, values in SPELLINGS.items()}),
    st.permutations(list(order_body())),
    st.booleans(),
)
def test_the_same_order_in_other_words_is_the_same_content(
    spelled: dict[str, Any], sequence: list[str], reverse_lines: bool
) -> None:
    body = order_body(spelled)
    body = {key: body[key] for key in [*sequence, *(set(body) - set(sequence))]}
    if reverse_lines:
        body["lines"].reverse()
    usual, other = content(order_body()), content(body)
    assert differences(usual.document, other.document) == []
    assert (other.total_amount, other.shipping_amount) == (usual.total_amount, usual.shipping_amount)
    assert other.shipments == usual.shipments


@given(st.fixed_dictionaries({path: st.sampled_from(values) for path, values in SPELLINGS.items()}))
def test_the_normal_form_sent_in_again_is_itself_also_after_the_database(spelled: dict[str, Any]) -> None:
    document = content(order_body(spelled)).document
    stored = json.loads(json.dumps(document))
    assert content(stored).document == stored == document


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("lines.0.quantity", 3, "lines[0].quantity: 2 -> 3"),
        ("lines.1.unitPrice", "19.51", "lines[1].unitPrice: 19.50 -> 19.51"),
        ("lines.1.taxRate", 0, "lines[1].taxRate: 0.25 -> 0"),
        ("locale", "de", "locale: sv-SE -> de"),
        ("shippingAmount", 0, "shippingAmount: 49.00 -> 0.00"),
        ("shippingAddress.region", "Uppland", "shippingAddress.region: differs"),
        ("customer.email", "other@example.com", "customer.email: differs"),
        ("billingAddress", order_body()["shippingAddress"], "billingAddress: differs"),
        ("payment.authorization", "sandbox:ok#2", "payment.authorization: differs"),
        ("payment.provider", "stripe", "payment.provider: sandbox -> stripe"),
        ("shipments", [], "shipments[0]: given -> not given"),
        ("shipments.0.capture", False, "shipments[0].capture: true -> false"),
        ("shipments.0.lines", {"43243": 2}, "shipments[0].lines.43244: 1 -> not given"),
    ],
)
def test_a_difference_is_named_without_telling_private_values(path: str, value: object, told: str) -> None:
    assert difference({path: value}) == [told]


def test_lines_are_told_apart_by_their_ids() -> None:
    lines = order_body()["lines"]
    added = [{**lines[0], "lineId": "new"}, *lines]
    assert difference({"lines": added}) == ["lines[0]: lineId new is new"]
    assert difference({"lines": lines[:1], "shipments.0.lines": {"43243": 2}}) == [
        "lines: lineId 43244 is missing",
        "shipments[0].lines.43244: 1 -> not given",
    ]
    swapped = [{**lines[1], "quantity": 9}, lines[0]]
    assert difference({"lines": swapped}) == ["lines[0].quantity: 3 -> 9"]


@given(st.decimals(min_value=0, max_value=1, places=6))
def test_tax_rates_have_one_spelling(rate: Decimal) -> None:
    text = content(order_body({"lines.0.taxRate": str(rate)})).document["lines"][0]["taxRate"]
    assert Decimal(text) == rate
    assert text == str(rate.quantize(Decimal("0.000001"))).rstrip("0").rstrip(".") or rate == 0
    assert "E" not in text
