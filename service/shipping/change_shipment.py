"""Change a shipment before it leaves: release it, choose other pieces, or remove it.

Contract: Order API, `PUT /shipments/<id>` and `DELETE /shipments/<id>`.
"""

from __future__ import annotations

import asyncpg

from schemas.events import EventType
from service.shipping.errors import (
    ShipmentAlreadyShipped,
    ShipmentIsCaptured,
    ShipmentIsPaid,
    ShipmentNotFound,
    ShipmentNotReleased,
)
from service.shipping.selection import Selection, pick
from service.shipping.shipment import ShipmentStatus
from service.shipping.tell import News, tell
from sql import Connection, queries

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
                await tell(connection, [News(locked["shipment_id"], events, request_id, traceparent)])
        return str(locked["order_number"])


async def cancel_shipment(connection: Connection, shipment_number: str, *, request_id: str, traceparent: str) -> str:
    """Remove a shipment that has neither left nor been paid, and return the order's number. Its number stays used.

    Raises `ShipmentNotFound`, also for one that is removed already, `ShipmentAlreadyShipped` or `ShipmentIsPaid`.
    """
    async with connection.transaction():
        locked = await _lock(connection, shipment_number)
        await _check_unpaid(connection, locked["shipment_id"])
        await queries("creation").cancel_shipment(connection, shipment_id=locked["shipment_id"])
        await tell(connection, [News(locked["shipment_id"], [EventType.SHIPMENT_CANCELLED], request_id, traceparent)])
        return str(locked["order_number"])


async def _lock(connection: Connection, shipment_number: str) -> asyncpg.Record:
    locked: asyncpg.Record | None = await queries("shipping").lock_shipment(
        connection, shipment_number=shipment_number, provisional=False
    )
    if locked is None or locked["status"] in {ShipmentStatus.CANCELLED, ShipmentStatus.FAILED_ORDER}:
        raise ShipmentNotFound(shipment_number)
    if locked["status"] == ShipmentStatus.SHIPPED:
        raise ShipmentAlreadyShipped(shipment_number)
    return locked


async def _check_unpaid(connection: Connection, shipment_id: int) -> None:
    live = await queries("shipping").live_capture(connection, shipment_id=shipment_id)
    if live is not None:
        raise ShipmentIsCaptured if live["amount"] else ShipmentIsPaid


async def _choose(connection: Connection, locked: asyncpg.Record, selection: Selection) -> None:
    """Replace the shipment's pieces, which must still be unpaid."""
    lookup = queries("creation")
    held = (await lookup.contents(connection, shipment_id=locked["shipment_id"]))["selection"]
    if held == dict(selection):
        return
    await _check_unpaid(connection, locked["shipment_id"])
    lines = [line async for line in lookup.order_lines(connection, order_id=locked["order_id"])]
    picked = pick(selection, lines, held=held)
    await lookup.set_contents(
        connection,
        shipment_id=locked["shipment_id"],
        order_line_ids=picked.order_line_ids,
        quantities=picked.quantities,
    )
