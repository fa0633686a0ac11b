"""Read pages of orders and of shipments, as the Order API lists them. Each page is as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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
from sql import Connection, queries

ShipmentListName = Literal["goodtogo", "inprogress", "completed"]

# An order on hold is a confirmed one whose `hold` is 1.
_STATUS_CODES: dict[OrderStatus, OrderStatusCode] = {
    OrderStatus.CONFIRMED: 2,
    OrderStatus.ONHOLD: 2,
    OrderStatus.IN_PROGRESS: 3,
    OrderStatus.COMPLETED: 4,
    OrderStatus.CANCELLED: 6,
}


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list."""

    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A point in time. Without a time zone it is read on the clock of each order's store."""

    time: datetime | None = None

    @property
    def at(self) -> datetime | None:
        """The moment, if it is one."""
        return self.time if self.time and self.time.tzinfo else None

    @property
    def local(self) -> datetime | None:
        """The time on the store's clock, if it is one."""
        return self.time if self.time and not self.time.tzinfo else None


async def list_orders(
    connection: Connection, *, page: Page, order_number: str | None, newer_than: Bound, older_than: Bound
) -> list[OrderRow]:
    """Return orders, oldest first: placed at `newer_than` or later, and before `older_than`."""
    lists = queries("lists")
    bounds = {
        "newer_at": newer_than.at,
        "newer_local": newer_than.local,
        "older_at": older_than.at,
        "older_local": older_than.local,
        "limit": page.limit,
        "offset": page.offset,
    }
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = (
            lists.orders_page(connection, **bounds)
            if order_number is None
            else lists.order_page(connection, order_number=order_number, **bounds)
        )
        ids = [row["id"] async for row in found]
        return [_order(row) async for row in lists.orders_of_page(connection, ids=ids)] if ids else []


async def list_shipments(
    connection: Connection, *, page: Page, name: ShipmentListName, order_number: str | None
) -> list[ShipmentRow]:
    """Return shipments of one of the three lists, oldest first."""
    lists = queries("lists")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if order_number is not None:
            found = lists.shipments_of_order_page(
                connection, order_number=order_number, list=name, limit=page.limit, offset=page.offset
            )
        else:
            pick = {
                "goodtogo": lists.good_to_go_page,
                "inprogress": lists.in_progress_page,
                "completed": lists.completed_page,
            }[name]
            found = pick(connection, limit=page.limit, offset=page.offset)
        return await _shipments(connection, [row["id"] async for row in found])


async def find_shipment(connection: Connection, shipment_number: str) -> ShipmentRow | None:
    """Return a shipment in any status, or None where there is none."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = queries("lists").shipment_page(connection, shipment_number=shipment_number)
        return next(iter(await _shipments(connection, [row["id"] async for row in found])), None)


async def _shipments(connection: Connection, ids: list[int]) -> list[ShipmentRow]:
    if not ids:
        return []
    return [_shipment(row) async for row in queries("lists").shipments_of_page(connection, ids=ids)]


def _order(row: Mapping[str, Any]) -> OrderRow:
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


def _shipment(row: Mapping[str, Any]) -> ShipmentRow:
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


def _order_fields(row: Mapping[str, Any]) -> dict[str, Any]:
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


def _address(prefix: str, address: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, str]:
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


def _products(row: Mapping[str, Any]) -> list[ProductRow]:
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
