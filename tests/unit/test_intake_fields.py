"""What an intake body may hold, and what is said about each field that it may not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumers.email.addresses import parse_address
from schemas.fields import parse_locale
from schemas.orders import IntakeOrder
from schemas.problems import MOST_PROBLEMS, problems_of
from tests.support.orders import intake, order_body


def problems(changes: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        IntakeOrder.model_validate_json(json.dumps(order_body(changes)))
    return problems_of(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("customer", ..., "customer: Field required"),
        ("customer.email", ..., "customer.email: Field required"),
        ("customer.name", " ", "customer.name: String should have at least 1 character"),
        ("customer.name", "x" * 201, "customer.name: String should have at most 200 characters"),
        ("customer.name", "A\u0000B", "customer.name: expected text without control characters"),
        ("customer.name", "A\nB", "customer.name: expected text without control characters"),
        ("customer.email", "asa", 'customer.email: expected an e-mail address such as "name@example.com"'),
        ("customer.email", "a@b.se, c@d.se", 'customer.email: expected an e-mail address such as "name@example.com"'),
        ("customer.email", "a\u200bb@c.se", 'customer.email: expected an e-mail address such as "name@example.com"'),
        ("customer.email", "a@\u0663.se", 'customer.email: expected an e-mail address such as "name@example.com"'),
        ("customer.email", "a@-c.se", 'customer.email: expected an e-mail address such as "name@example.com"'),
        ("currency", "KRONOR", 'currency: expected an ISO 4217 currency code such as "SEK"'),
        ("currency", "XXX", 'currency: expected an ISO 4217 currency code such as "SEK"'),
        ("locale", "swedish", 'locale: expected a locale such as "sv-SE"'),
        ("locale", "../../etc", 'locale: expected a locale such as "sv-SE"'),
        ("shippingAddress.country", "UK", 'shippingAddress.country: expected an ISO 3166 country code such as "SE"'),
        ("shippingAddress.country", "EU", 'shippingAddress.country: expected an ISO 3166 country code such as "SE"'),
        ("shippingAddress.city", ..., "shippingAddress.city: Field required"),
        ("payment.authorization", "", "payment.authorization: String should have at least 1 character"),
        ("orderNumber", "1/2", "orderNumber: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'"),
        ("store", True, "store: Input should be a valid string"),
        ("status", "COMPLETED", "status: Input should be 'CONFIRMED' or 'ONHOLD'"),
        ("shippingAmount", "4,90", 'shippingAmount: expected a decimal number such as "199.00"'),
        ("shippingAmount", "1_000", 'shippingAmount: expected a decimal number such as "199.00"'),
        ("shippingAmount", None, 'shippingAmount: expected a decimal number such as "199.00"'),
        ("lines", [], "lines: List should have at least 1 item after validation, not 0"),
        ("lines.1.quantity", -3, "lines[1].quantity: expected a whole number from 1 to 1000000000"),
        ("lines.1.quantity", 0, "lines[1].quantity: expected a whole number from 1 to 1000000000"),
        ("lines.1.quantity", 1.5, "lines[1].quantity: expected a whole number from 1 to 1000000000"),
        ("lines.1.quantity", True, "lines[1].quantity: expected a whole number from 1 to 1000000000"),
        ("lines.1.quantity", 1e300, "lines[1].quantity: expected a whole number from 1 to 1000000000"),
        ("lines.0.unitPrice", "-0.01", "lines[0].unitPrice: Input should be greater than or equal to 0"),
        ("lines.0.taxRate", 25, "lines[0].taxRate: Input should be less than or equal to 1"),
        ("lines.0.taxRate", "0.1234567", "lines[0].taxRate: Decimal input should have no more than 6 decimal places"),
        (
            "lines",
            [order_body()["lines"][0], order_body()["lines"][1], order_body()["lines"][0]],
            "lines[2].lineId: 43243 is already the lineId of lines[0]",
        ),
        ("lines.1.quantity", 999_999_999, "lines: expected at most 1000000000 pieces in all"),
        ("shipments.0.lines", {}, "shipments[0].lines: Dictionary should have at least 1 item after validation, not 0"),
        ("shipments.0.lines", {"7": 1}, "shipments[0].lines.7: the order has no line with this lineId"),
        (
            "shipments.0.lines",
            {"43243": 3},
            "shipments[0].lines.43243: 3 pieces, but only 2 of this line are left to ship",
        ),
        (
            "shipments.0.status",
            "SHIPPED",
            "shipments[0].status: Input should be 'AWAITING_INVENTORY', 'INVENTORY_ASSIGNED', 'RELEASED' or 'ONHOLD'",
        ),
        ("status", "ONHOLD", "shipments[0].status: not RELEASED while the order is on hold or waiting for payment"),
        (
            "waitingForPayment",
            True,
            "shipments[0].status: not RELEASED while the order is on hold or waiting for payment",
        ),
    ],
)
def test_every_wrong_field_is_named(path: str, value: object, problem: str) -> None:
    assert problems({path: value}) == [problem]


def test_shipments_together_never_hold_more_than_was_ordered() -> None:
    twice = [{"status": "ONHOLD", "lines": {"43243": 2}}, {"status": "ONHOLD", "lines": {"43243": 1}}]
    assert problems({"shipments": twice}) == [
        "shipments[1].lines.43243: 1 pieces, but only 0 of this line are left to ship"
    ]


def test_all_problems_are_told_at_once_but_not_endlessly() -> None:
    found = problems({"lines": [{}] * 100})
    assert found[:2] == ["lines[0].lineId: Field required", "lines[0].sku: Field required"]
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f"and {5 * 100 - MOST_PROBLEMS} more"


def test_text_that_is_not_unicode_is_refused_by_its_field() -> None:
    with pytest.raises(ValidationError) as raised:
        IntakeOrder.model_validate(order_body({"customer.name": "\udce9"}))
    assert problems_of(raised.value) == ["customer.name: expected valid UTF-8"]


def test_numbers_text_and_blanks_are_taken_as_they_are_meant() -> None:
    order = intake(
        {
            "orderNumber": 100001,
            "currency": " sek ",
            "locale": "sv_se",
            "customer.email": " Asa@EXAMPLE.com ",
            "shippingAddress.country": "se",
            "shippingAddress.region": "",
            "shippingAmount": 49,
            "lines.0.lineId": 43243,
            "lines.0.quantity": "2.0",
            "lines.0.unitPrice": 199.0,
            "waitingForPayment": "0",
            "unknown": {"field": 1},
        }
    )
    assert (order.order_number, order.currency, order.locale) == ("100001", "SEK", "sv-SE")
    assert order.customer.email == "Asa@example.com"
    assert (order.shipping_address.country, order.shipping_address.region) == ("SE", None)
    assert (order.lines[0].line_id, order.lines[0].quantity) == ("43243", 2)
    assert (order.shipping_amount, order.lines[0].unit_price) == (Decimal(49), Decimal(199))
    assert order.waiting_for_payment is False


def test_what_may_be_left_out() -> None:
    order = intake(
        {
            "orderNumber": ...,
            "currency": "",
            "locale": ...,
            "shippingAmount": ...,
            "shippingAddress.name": ...,
            "shippingAddress.postalCode": ...,
            "lines.0.taxRate": ...,
            "shipments": None,
        }
    )
    assert (order.order_number, order.currency, order.locale, order.shipments) == (None, None, None, [])
    assert (order.shipping_amount, order.lines[0].tax_rate) == (0, 0)


@pytest.mark.parametrize(
    ("sent", "known"),
    [("sv_SE", "sv-SE"), ("sv-JP", "sv"), ("EN-us", "en-US"), ("zh-Hant-TW", "zh-Hant-TW"), ("nb", "nb")],
)
def test_a_locale_becomes_the_closest_one_that_babel_knows(sent: str, known: str) -> None:
    assert parse_locale(sent) == known
    assert parse_locale(known) == known


@given(st.text(max_size=20), st.text(max_size=20))
@example("Åsa.Öberg", "exämple.se")
@example("o'brien+tag", "mail.example.co.uk")
@example("a..b.", "b_c.de")
@example("é" * 33, "a.se")
def test_the_mail_worker_can_write_to_every_address_that_is_taken_in(local: str, domain: str) -> None:
    try:
        taken = intake({"customer.email": f"{local}@{domain}"}).customer.email
    except ValidationError:
        return
    assert str(parse_address(taken)).isprintable()


@given(st.decimals(min_value=0, max_value=10**13 - 1, places=2))
def test_a_json_number_and_its_text_are_the_same_amount(amount: Decimal) -> None:
    as_number = json.dumps(order_body({"shippingAmount": "AMOUNT"})).replace('"AMOUNT"', str(amount))
    as_text = json.dumps(order_body({"shippingAmount": str(amount)}))
    parsed = [IntakeOrder.model_validate_json(body).shipping_amount for body in (as_number, as_text)]
    assert parsed == [amount, amount]
