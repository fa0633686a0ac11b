"""From the records of a page to the rows that the Order API tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from schemas.money import to_text
from schemas.order_api_answers import (
    NO_DATE,
    Flag,
    OrderedShipment,
    OrderRow,
    OrderStatusCode,
    ParcelRow,
    ProductRow,
    ShipmentRow,
)
from service.shipping.shipment import OrderStatus

# An order on hold is a confirmed one whose `hold` is 1.
_STATUS_CODES: dict[OrderStatus, OrderStatusCode] = {
    OrderStatus.CONFIRMED: 2,
    OrderStatus.ONHOLD: 2,
    OrderStatus.IN_PROGRESS: 3,
    OrderStatus.COMPLETED: 4,
    OrderStatus.CANCELLED: 6,
}


def order_row(row: asyncpg.Record) -> OrderRow:
    """Return an order as the contract tells it."""
    return OrderRow(
        **_order_fields(row),
        products=_products(row),
        shipments=[
            OrderedShipment(
                shipment_id=shipment["shipment_number"],
                shipped_date=shipment["shipped_at"] or NO_DATE,
                carrier=shipment["carrier"] or "",
                service=shipment["service"] or "",
                tracking_id=shipment["tracking_number"] or "",
                tracking_url=shipment["tracking_url"] or "",
                return_slip_tracking=shipment["return_slip_tracking"] or "",
            )
            for shipment in row["shipments"]
        ],
    )


def shipment_row(row: asyncpg.Record) -> ShipmentRow:
    """Return a shipment as the contract tells it, without links."""
    parcels = [ParcelRow(**{name: value or "" for name, value in parcel.items()}) for parcel in row["parcels"]]
    first = parcels[0] if parcels else ParcelRow(carrier="", service="", tracking_number="", tracking_url="")
    return ShipmentRow(
        **_order_fields(row),
        shipment_id=row["shipment_number"],
        gtg=_flag(row["good_to_go"]),
        paid=_flag(row["paid"]),
        should_capture=_flag(row["capture_wanted"] and not row["paid"]),
        shipped_date=row["shipped_at"] or NO_DATE,
        **first.model_dump(),
        return_slip_tracking=row["return_slip_tracking"] or "",
        products=_products(row),
        # The links are the edge's: only it knows the address that callers use.
        delivery_note="",
        proforma="",
        invoices=[],
        parcels=parcels,
    )


def _order_fields(row: asyncpg.Record) -> dict[str, Any]:
    status = OrderStatus(row["status"])
    return {
        "order_id": row["order_number"],
        "order_status": _STATUS_CODES[status],
        "order_date": row["ordered_at"],
        "order_store": row["store_code"],
        "order_currency": row["currency"],
        "hold": _flag(status is OrderStatus.ONHOLD),
        "waiting_for_payment": _flag(row["waiting_for_payment"]),
        "grand_total_value": to_text(row["total_amount"], row["currency"]),
        "internal_comment": row["internal_comment"],
        "payment_reference": row["payment_authorization"],
        **_address("delivery", row["shipping_address"], row),
        **_address("billing", row["billing_address"], row),
    }


def _address(prefix: str, address: Mapping[str, str], row: asyncpg.Record) -> dict[str, str]:
    return {
        f"{prefix}_name": address.get("name", row["customer_name"]),
        f"{prefix}_company": address.get("company", ""),
        f"{prefix}_address": address.get("street", ""),
        f"{prefix}_co_address": address.get("street2", ""),
        f"{prefix}_zip_code": address.get("postalCode", ""),
        f"{prefix}_city": address.get("city", ""),
        f"{prefix}_state": address.get("region", ""),
        f"{prefix}_country": address.get("country", ""),
        f"{prefix}_email": row["customer_email"],
    }


def _products(row: asyncpg.Record) -> list[ProductRow]:
    return [
        ProductRow(
            line_id=line["line_id"],
            sku=line["sku"],
            name=line["name"],
            qty=line["quantity"],
            price=to_text(line["unit_price"], row["currency"]),
        )
        for line in row["lines"]
    ]


def _flag(value: bool) -> Flag:
    return 1 if value else 0
