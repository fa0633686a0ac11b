"""Read from the database what a shipment's documents show."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from service.documents.content import Address, DocumentContent, Invoice, Line, Parcel, Seller
from service.shipping.errors import ShipmentNotFound
from sql import Connection, queries


async def document_content(connection: Connection, shipment_number: str) -> DocumentContent:
    """Return the content of the shipment's documents. Raise `ShipmentNotFound`, also for one that was removed.

    What is captured can no longer change, so an invoice always shows the same goods and the same total.
    """
    row = await queries("documents").find(connection, shipment_number=shipment_number)
    if row is None:
        raise ShipmentNotFound(shipment_number)
    return DocumentContent(
        seller=_seller(row["store_name"], row["seller_address"] or {}),
        buyer=_address(row["billing_address"], name=row["customer_name"]),
        delivery=_address(row["shipping_address"], name=row["customer_name"]),
        order_number=row["order_number"],
        shipment_number=row["shipment_number"],
        delivery_date=row["delivery_date"],
        lines=tuple(Line(**line | {"tax_rate": Decimal(line["tax_rate"])}) for line in row["lines"]),
        shipping_amount=row["shipping_amount"],
        currency=row["currency"],
        locale=row["locale"],
        parcels=tuple(Parcel(**parcel) for parcel in row["parcels"]),
        package_count=row["package_count"],
        return_slip_tracking=row["return_slip_tracking"],
        invoice=_invoice(row),
        has_left=row["has_left"],
    )


def _invoice(row: Mapping[str, Any]) -> Invoice | None:
    if row["captured_amount"] is None:
        return None
    # One shipment is captured once, so its number is unique among invoices and found without a register.
    return Invoice(number=row["shipment_number"], issued_on=row["captured_on"], captured_amount=row["captured_amount"])


def _seller(store_name: str, address: Mapping[str, str]) -> Seller:
    return Seller(
        store=store_name,
        address=_address(address) if address else None,
        vat_number=address.get("vatNumber"),
        email=address.get("email"),
        phone=address.get("phone"),
    )


def _address(address: Mapping[str, str], *, name: str | None = None) -> Address:
    return Address(
        name=address.get("name", name),
        company=address.get("company"),
        street=address.get("street"),
        street2=address.get("street2"),
        postal_code=address.get("postalCode"),
        city=address.get("city"),
        region=address.get("region"),
        country=address.get("country"),
    )
