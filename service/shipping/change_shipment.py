"""Change a shipment before it leaves: release it, choose other pieces, take the money, or remove it.

Contract: Order API, `PUT /shipments/<id>`, `DELETE /shipments/<id>` and `PUT /capture`.
"""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from schemas.events import EventType
from service.payments.provider import PaymentProvider
from service.shipping.capture import NothingReserved, capture_live, reserve_capture
from service.shipping.complete_shipment import MOST_ROUNDS
from service.shipping.errors import (
    CaptureDeclined,
    CaptureFailed,
    ShipmentAlreadyShipped,
    ShipmentIsPaid,
    ShipmentNotFound,
    ShipmentNotReleased,
)
from service.shipping.selection import Selection, pick
from service.shipping.shipment import SHIPPING_ORDERS, OrderStatus, ShipmentStatus
from service.shipping.tell import tell
from sql import Connection, queries

# Statuses in which a shipment may be captured without leaving.
_CAPTURABLE = frozenset(ShipmentStatus) - {
    ShipmentStatus.PROVISIONAL,
    ShipmentStatus.CANCELLED,
    ShipmentStatus.FAILED_ORDER,
}
# A shipment may have left before its money was asked for, and its order be complete.
_PAYING_ORDERS = SHIPPING_ORDERS | {OrderStatus.COMPLETED}
_OPEN = frozenset({ShipmentStatus.AWAITING_INVENTORY, ShipmentStatus.INVENTORY_ASSIGNED, ShipmentStatus.RELEASED})


async def change_shipment(
    connection: Connection,
    shipment_number: str,
    *,
    good_to_go: bool | None = None,
    selection: Selection | None = None,
    request_id: str,
    traceparent: str,
) -> str:
    """Set good-to-go and the pieces, whichever is given, and return the order's number.

    Raises `ShipmentNotFound`, `ShipmentAlreadyShipped`, `ShipmentIsPaid` (its pieces are fixed), `SelectionRefused`,
    or `ShipmentNotReleased` where its status allows no change. The same change again changes nothing.
    """
    async with connection.transaction():
        locked = await _lock(connection, shipment_number)
        if ShipmentStatus(locked["status"]) not in _OPEN:
            raise ShipmentNotReleased(f"shipment is {locked['status']} and can not be updated")
        if selection is not None:
            await _choose(connection, locked, selection)
        if good_to_go is not None and good_to_go != locked["good_to_go"]:
            events = [EventType.SHIPMENT_RELEASED] if good_to_go else []
            await queries("creation").set_good_to_go(
                connection, shipment_id=locked["shipment_id"], good_to_go=good_to_go, event_count=len(events)
            )
            if events:
                await tell(
                    connection,
                    events,
                    shipment_id=locked["shipment_id"],
                    request_id=request_id,
                    traceparent=traceparent,
                )
        return str(locked["order_number"])


async def cancel_shipment(connection: Connection, shipment_number: str, *, request_id: str, traceparent: str) -> str:
    """Remove a shipment that has neither left nor been paid, and return the order's number. Its number stays used.

    Raises `ShipmentNotFound`, also for one that is removed already, `ShipmentAlreadyShipped` or `ShipmentIsPaid`.
    """
    async with connection.transaction():
        locked = await _lock(connection, shipment_number)
        if await queries("shipping").live_capture(connection, shipment_id=locked["shipment_id"]) is not None:
            raise ShipmentIsPaid
        await queries("creation").cancel_shipment(connection, shipment_id=locked["shipment_id"])
        await tell(
            connection,
            [EventType.SHIPMENT_CANCELLED],
            shipment_id=locked["shipment_id"],
            request_id=request_id,
            traceparent=traceparent,
        )
        return str(locked["order_number"])


async def capture_shipment(
    connection: Connection,
    shipment_number: str,
    *,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
) -> str:
    """Take the shipment's money now, unless that has been done, and return the order's number.

    Raises `ShipmentNotFound`, `ShipmentNotReleased` where the order allows none, or a `CaptureFailed`.
    """
    shipping = queries("shipping")
    for _ in range(MOST_ROUNDS):
        reserved = await reserve_capture(
            connection, shipment_number, statuses=_CAPTURABLE, order_statuses=_PAYING_ORDERS, capture=True
        )
        try:
            async with connection.transaction():
                locked = await shipping.lock_shipment(connection, shipment_number=shipment_number, provisional=False)
                if locked is None or locked["status"] not in _CAPTURABLE:
                    raise ShipmentNotFound(shipment_number)
                if OrderStatus(locked["order_status"]) not in _PAYING_ORDERS or locked["waiting_for_payment"]:
                    raise ShipmentNotReleased("order does not allow captures")
                paid = await capture_live(
                    connection,
                    locked["shipment_id"],
                    reserved_capture=reserved,
                    providers=providers,
                    timeout_s=capture_timeout_s,
                )
        except NothingReserved:
            continue
        if not paid:
            raise CaptureDeclined
        return str(locked["order_number"])
    raise CaptureFailed


async def _lock(connection: Connection, shipment_number: str) -> asyncpg.Record:
    locked: asyncpg.Record | None = await queries("shipping").lock_shipment(
        connection, shipment_number=shipment_number, provisional=False
    )
    if locked is None or locked["status"] in {ShipmentStatus.CANCELLED, ShipmentStatus.FAILED_ORDER}:
        raise ShipmentNotFound(shipment_number)
    if locked["status"] == ShipmentStatus.SHIPPED:
        raise ShipmentAlreadyShipped(shipment_number)
    return locked


async def _choose(connection: Connection, locked: asyncpg.Record, selection: Selection) -> None:
    """Replace the shipment's pieces, which must still be unpaid."""
    lookup = queries("creation")
    held = (await lookup.contents(connection, shipment_id=locked["shipment_id"]))["selection"]
    if held == dict(selection):
        return
    if await queries("shipping").live_capture(connection, shipment_id=locked["shipment_id"]) is not None:
        raise ShipmentIsPaid
    lines = [line async for line in lookup.order_lines(connection, order_id=locked["order_id"])]
    picked = pick(selection, lines, held=held)
    await lookup.set_contents(
        connection,
        shipment_id=locked["shipment_id"],
        order_line_ids=picked.order_line_ids,
        quantities=picked.quantities,
    )
