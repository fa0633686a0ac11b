"""What a document is about: plain data, money as gross amounts in minor units of `currency`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class NotCaptured(Exception):
    """There is no invoice: the shipment's payment is not captured."""


class DocumentKind(StrEnum):
    """The documents there are; the values are the fields of the Order API's answers."""

    DELIVERY_NOTE = "deliveryNote"
    PROFORMA = "proforma"
    INVOICE = "invoice"

    @property
    def slug(self) -> str:
        """The kind as it stands in links and file names."""
        return _SLUGS[self]


_SLUGS = {
    DocumentKind.DELIVERY_NOTE: "delivery-note",
    DocumentKind.PROFORMA: "proforma",
    DocumentKind.INVOICE: "invoice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address; `country` is an ISO 3166 alpha-2 code."""

    name: str | None = None
    company: str | None = None
    street: str | None = None
    street2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """The store as customers know it, and the business behind it."""

    store: str
    address: Address | None = None
    vat_number: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Pieces of one article. `unit_price` includes the tax; `tax_rate` 0.25 is 25 %."""

    sku: str
    name: str
    quantity: int
    unit_price: int
    tax_rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One parcel; each field is None where it is not known."""

    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What an invoice has once the shipment is captured. `captured_amount` is its total."""

    number: str
    issued_on: date
    captured_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentContent:
    """One shipment, as its documents show it.

    `shipping_amount` is the part of the order's shipping cost that this shipment carries. Dates are days in the store's
    time zone: `delivery_date` is the day the shipment left or, while `has_left` is false, today.
    """

    seller: Seller
    buyer: Address
    delivery: Address
    order_number: str
    shipment_number: str
    delivery_date: date
    lines: tuple[Line, ...]
    shipping_amount: int
    currency: str
    locale: str
    parcels: tuple[Parcel, ...] = ()
    package_count: int | None = None
    return_slip_tracking: str | None = None
    invoice: Invoice | None = None
    has_left: bool = True
