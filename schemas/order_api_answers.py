"""Rows of the Order API's lists. Plain types: what is stored is told, not judged again.

What is not known is an empty string or an empty list, so that every field always has one type, also as XML. Dates are
`YYYY-MM-DD HH:MM:SS` on the clock of the order's store; amounts are decimal text in `orderCurrency`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

# The contract's way to say that there is no date.
NO_DATE: Final = "0000-00-00 00:00:00"

Flag = Literal[0, 1]
# 2 confirmed, 3 processing, 4 completed, 6 cancelled.
OrderStatusCode = Literal[2, 3, 4, 6]


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class ProductRow(_Wire):
    """Pieces of one article: what was ordered, or what is on the shipment."""

    line_id: str = Field(description="names the line when a shipment is created", examples=["43243"])
    sku: str = Field(examples=["A-1"])
    name: str = Field(examples=["Shirt"])
    qty: int = Field(examples=[2])
    price: str = Field(description="gross price of one piece", examples=["199.00"])


class OrderedShipment(_Wire):
    """A shipment in its order's row."""

    shipment_id: str = Field(examples=["83651-1"])
    shipped_date: str = Field(description=f"`{NO_DATE}` until it is shipped", examples=["2026-11-21 19:40:00"])
    carrier: str = Field(examples=["Fedex"])
    service: str = Field(examples=["Express"])
    tracking_id: str = Field(examples=["TRTTET5"])
    tracking_url: str = Field(examples=["https://www.fedex.com/fedextrack/?trknbr=TRTTET5"])
    return_slip_tracking: str


class OrderFields(_Wire):
    """What the rows of both lists tell of the order."""

    order_id: str = Field(examples=["83651"])
    order_status: OrderStatusCode = Field(description="2 confirmed, 3 processing, 4 completed, 6 cancelled")
    order_date: str = Field(examples=["2026-11-21 19:30:00"])
    order_store: str = Field(description="the store's code", examples=["se-web"])
    order_currency: str = Field(examples=["SEK"])
    hold: Flag = Field(description="1: nothing of it may be shipped")
    waiting_for_payment: Flag = Field(description="1: nothing of it may be shipped")
    grand_total_value: str = Field(
        description="an order's: all lines and the shipping cost; a shipment's: what is captured for it, or would be",
        examples=["447.00"],
    )
    internal_comment: str
    payment_reference: str = Field(description="the payment's authorization at its provider")
    delivery_name: str = Field(examples=["Åsa Öberg"])
    delivery_company: str
    delivery_address: str = Field(examples=["Storgatan 1"])
    delivery_co_address: str
    delivery_zip_code: str = Field(examples=["111 22"])
    delivery_city: str = Field(examples=["Stockholm"])
    delivery_state: str
    delivery_country: str = Field(description="ISO 3166 alpha-2 code", examples=["SE"])
    delivery_email: str = Field(examples=["asa@example.com"])
    billing_name: str = Field(description="billing fields repeat the delivery's where the order has no others")
    billing_company: str
    billing_address: str
    billing_co_address: str
    billing_zip_code: str
    billing_city: str
    billing_state: str
    billing_country: str
    billing_email: str


class OrderRow(OrderFields):
    """A row of `GET /orders`."""

    products: list[ProductRow] = Field(description="all lines as they were ordered")
    shipments: list[OrderedShipment] = Field(description="removed ones are not listed")


class ParcelRow(_Wire):
    """One parcel of a shipment."""

    carrier: str
    service: str
    tracking_number: str
    tracking_url: str


class ShipmentRow(OrderFields):
    """A row of `GET /shipments`."""

    shipment_id: str = Field(examples=["83651-1"])
    gtg: Flag = Field(description="1: good to go")
    paid: Flag = Field(description="1: its amount is captured")
    should_capture: Flag = Field(description="1: its amount is still to be captured")
    shipped_date: str = Field(description=f"`{NO_DATE}` until it is shipped", examples=[NO_DATE])
    carrier: str
    service: str
    tracking_number: str
    tracking_url: str
    return_slip_tracking: str
    products: list[ProductRow] = Field(description="what is on this shipment")
    delivery_note: str = Field(description="link to a PDF")
    proforma: str = Field(description="link to a PDF")
    invoices: list[str] = Field(description="links to PDFs, once the shipment is paid")
    parcels: list[ParcelRow] | SkipJsonSchema[None] = Field(
        None,
        description="every parcel; only with `parcels=1`. The tracking fields above are those of the first.",
        json_schema_extra=_without_default,
    )


class OrderList(_Wire):
    """Answer of `GET /orders`."""

    status: Literal["ok"]
    orders: list[OrderRow]


class ShipmentList(_Wire):
    """Answer of `GET /shipments` and `GET /shipments/<id>`."""

    status: Literal["ok"]
    shipments: list[ShipmentRow]
