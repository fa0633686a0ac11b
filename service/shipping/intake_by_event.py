"""Take orders in as events announce them: they come twice, late and in any order, and must end the same (ADR 0011).

An order is created before it is released, whichever message comes first. So a creation never changes a known order,
and a release moves it forwards only.
"""

from __future__ import annotations

import re
from typing import Any

import asyncpg

from schemas.events import EventType
from schemas.orders import IntakeOrder, IntakeShipment
from service.shipping.intake import (
    IntakeResult,
    bring_to_content,
    check_only_authorization_changes,
    conflict,
    content_of_known,
    intake_order,
)
from service.shipping.order_content import Difference, differences
from service.shipping.tell import News, tell
from sql import Connection, queries

# Where an order stands, which changes while it lives. All other fields say what it is.
_STANDING = re.compile(r"status|waitingForPayment|shipments\[\d+\]\.status")


async def take_created(
    connection: Connection, order: IntakeOrder, *, request_id: str, traceparent: str
) -> IntakeResult:
    """Create the order as it was sent. One that is known stays as it is.

    Raises `InvalidRequest`, or `OrderConflict` if the known order cannot have come of this one.
    """
    return await intake_order(
        connection, order, request_id=request_id, traceparent=traceparent, meet=_check_came_of_this
    )


async def take_released(
    connection: Connection, order: IntakeOrder, *, request_id: str, traceparent: str
) -> IntakeResult:
    """Create the order with the shipments released whose goods are there, or release those of the known one.

    Where the content differs, it may change what the intake over HTTP may. Raises `InvalidRequest` or `OrderConflict`.
    """
    shipments = [_released(shipment) for shipment in order.shipments]
    return await intake_order(
        connection,
        order.model_copy(update={"shipments": shipments}),
        request_id=request_id,
        traceparent=traceparent,
        meet=_release,
    )


def _released(shipment: IntakeShipment) -> IntakeShipment:
    ready = shipment.status == "INVENTORY_ASSIGNED"
    return shipment.model_copy(update={"status": "RELEASED"}) if ready else shipment


async def _check_came_of_this(
    connection: Connection, known: asyncpg.Record, order: IntakeOrder, *, request_id: str, traceparent: str
) -> IntakeResult:
    before = known["intake"]
    if not order.shipments:
        # They may have been planned since.
        before = before | {"shipments": []}
    changes = [
        change for change in differences(before, content_of_known(known, order).document) if not _is_standing(change)
    ]
    if changes:
        raise conflict(known, changes)
    return await _result(connection, known, changed=False)


async def _release(
    connection: Connection, known: asyncpg.Record, order: IntakeOrder, *, request_id: str, traceparent: str
) -> IntakeResult:
    if known["last_shipment_n"] == 0:
        return await bring_to_content(connection, known, order, request_id=request_id, traceparent=traceparent)
    before = known["intake"]
    after = _moved_forwards(before, content_of_known(known, order).document)
    changes = differences(before, after)
    if not changes:
        return await _result(connection, known, changed=False)
    await check_only_authorization_changes(connection, known, [each for each in changes if not _is_standing(each)])
    released = [
        (n, shipment["status"])
        for n, (shipment, moved) in enumerate(zip(before["shipments"], after["shipments"], strict=True), start=1)
        if shipment["status"] != moved["status"]
    ]
    shipment_ids = [
        row["id"]
        async for row in queries("releases").release(
            connection,
            order_id=known["id"],
            authorization=after["payment"]["authorization"],
            intake=after,
            was_on_hold=before["status"] == "ONHOLD",
            was_waiting=before["waitingForPayment"],
            ns=[n for n, _ in released],
            statuses=[status for _, status in released],
        )
    ]
    await tell(
        connection,
        [News(shipment_id, [EventType.SHIPMENT_RELEASED], request_id, traceparent) for shipment_id in shipment_ids],
    )
    return await _result(connection, known, changed=True)


def _moved_forwards(before: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Return `sent` without the steps backwards: a release releases shipments and does nothing else to them."""
    shipments = [*sent["shipments"]]
    for index, (known, shipment) in enumerate(zip(before["shipments"], shipments, strict=False)):
        if shipment["status"] != "RELEASED":
            shipments[index] = shipment | {"status": known["status"]}
    return sent | {"shipments": shipments}


def _is_standing(change: Difference) -> bool:
    return _STANDING.fullmatch(change.field) is not None


async def _result(connection: Connection, known: asyncpg.Record, *, changed: bool) -> IntakeResult:
    numbers = await queries("orders").shipment_numbers(connection, order_id=known["id"])
    return IntakeResult(known["intake"]["orderNumber"], "updated" if changed else "unchanged", tuple(numbers))
