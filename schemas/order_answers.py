"""Answers of the order intake and of reading an order. Plain types: what is stored is told, not judged again."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.events import UtcTime


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class IntakeAnswer(_Wire):
    """What became of the order that was sent in."""

    order_number: str = Field(examples=["100001"])
    status: Literal["created", "unchanged", "updated"]
    shipments: list[str] = Field(description="numbers of the order's shipments", examples=[["100001-1"]])


class AddressAnswer(_Wire):
    """A postal address."""

    name: str
    company: str | None = None
    street: str
    street2: str | None = None
    postal_code: str | None = None
    city: str
    region: str | None = None
    country: str


class CustomerAnswer(_Wire):
    """Who ordered."""

    name: str
    email: str


class PaymentAnswer(_Wire):
    """The authorization from which shipments are captured."""

    provider: str
    authorization: str


class LineAnswer(_Wire):
    """Pieces of one article at one gross price."""

    line_id: str
    sku: str
    name: str
    quantity: int
    unit_price: str
    tax_rate: str


class ParcelAnswer(_Wire):
    """A parcel that has left."""

    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None


class ShipmentAnswer(_Wire):
    """A shipment as it stands."""

    number: str = Field(examples=["100001-1"])
    status: str = Field(examples=["RELEASED"])
    good_to_go: bool
    capture: bool = Field(description="whether its amount is to be captured")
    capture_state: str | None = Field(None, description="PENDING, CAPTURED or DECLINED, of the newest attempt")
    goods_amount: str = Field(description="its lines at their gross prices")
    lines: dict[str, int] = Field(description="pieces by lineId")
    packages: int | None = None
    return_slip_tracking: str | None = None
    parcels: list[ParcelAnswer]
    created_at: UtcTime
    shipped_at: UtcTime | None = None


class OrderAnswer(_Wire):
    """An order as it was sent in, and how far it has come. Amounts are decimal text in `currency`."""

    order_number: str
    store: str
    currency: str
    locale: str
    status: str = Field(examples=["IN_PROGRESS"])
    waiting_for_payment: bool
    customer: CustomerAnswer
    shipping_address: AddressAnswer
    billing_address: AddressAnswer | None = None
    payment: PaymentAnswer
    shipping_amount: str
    total_amount: str = Field(description="all lines and the shipping cost")
    captured_amount: str
    lines: list[LineAnswer]
    shipments: list[ShipmentAnswer]
    created_at: UtcTime
    updated_at: UtcTime
