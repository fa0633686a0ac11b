"""The Order API's `POST /shipments`, `PUT /shipments/<id>` and `DELETE /shipments/<id>`.

Contract: reference text "Create shipment".
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from schemas.order_api import CreateRequest, UpdateRequest
from service.http.document_links import document_links
from service.http.idempotency import REQUEST_KEY
from service.http.order_api_requests import departure_of, order_value
from service.http.order_api_work import (
    Messages,
    about_order,
    about_shipment,
    done,
    origin,
    payment,
    shipment_in_path,
    shipment_turn,
)
from service.services import SERVICES
from service.shipping.change_shipment import cancel_shipment, change_shipment
from service.shipping.create_shipment import create_shipment
from service.shipping.creation import Creation
from service.shipping.errors import CaptureFailed, CaptureNotSupported, ShipmentAlreadyShipped, ShipmentIsPaid
from sql import queries

_CREATE_MESSAGES: Final[Messages] = {
    CaptureFailed: "can not capture order",
    CaptureNotSupported: "can not capture order",
}
_REMOVE_MESSAGES: Final[Messages] = {
    ShipmentAlreadyShipped: "shipment is sent and could not be deleted.",
    ShipmentIsPaid: "shipment has invoices or creditnotes and could not be deleted.",
}


async def create(request: web.Request, body: CreateRequest) -> dict[str, Any]:
    """Create a shipment, by default captured, or return the one that the same request has created before."""
    about_order(request, body.order, _CREATE_MESSAGES)
    creation = Creation(
        order_number=body.order,
        selection=body.products,
        good_to_go=bool(body.gtg),
        capture=body.capture is not False,
        departure=departure_of(body) if body.shipped else None,
        create_always=bool(body.create_always),
        key=request.get(REQUEST_KEY),
    )
    turn = request.app[SERVICES].turn(f"order:{body.order}", order_number=body.order, captures=creation.capture)
    async with turn as connection:
        created = await create_shipment(connection, creation, **payment(request), **origin(request))
        number = created.shipment_number
        await done(request, connection, "repeated" if created.repeated else "created", shipment_number=number)
        paid = creation.capture or await queries("creation").paid(connection, shipment_number=number)
    return {
        "status": "ok",
        "order": order_value(created.order_number),
        "shipment": number,
        **document_links(request, number, paid=paid),
    }


async def update(request: web.Request, body: UpdateRequest) -> dict[str, Any]:
    """Set good-to-go and the pieces, whichever is sent."""
    number = shipment_in_path(request)
    named = about_shipment(request, number)
    async with shipment_turn(request, number) as connection:
        await change_shipment(connection, number, good_to_go=body.gtg, selection=body.products, **origin(request))
        await done(request, connection, "changed")
    return {"status": "ok", **named}


async def remove(request: web.Request) -> dict[str, Any]:
    """Remove a shipment that has neither left nor been paid."""
    number = shipment_in_path(request)
    named = about_shipment(request, number, _REMOVE_MESSAGES)
    async with shipment_turn(request, number) as connection:
        try:
            await cancel_shipment(connection, number, **origin(request))
        except ShipmentAlreadyShipped:
            # What was captured has an invoice, and that is the reason that the contract knows.
            if await queries("creation").paid(connection, shipment_number=number):
                raise ShipmentIsPaid from None
            raise
        await done(request, connection, "removed")
    return {"status": "ok", "msg": "shipment removed", **named}
