"""The Order API's `PUT /shipment` and `PUT /capture`. Contract: reference text "Complete shipment"."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from schemas.order_api import CaptureRequest, CompleteRequest
from service.http.order_api_requests import departure_of
from service.http.order_api_work import Messages, about_shipment, check_order, done, origin, payment, shipment_turn
from service.shipping.capture_shipment import capture_shipment
from service.shipping.complete_shipment import complete_shipment
from service.shipping.errors import CaptureNotSupported, ShipmentAlreadyShipped
from service.shipping.repeat import is_repeated
from service.shipping.shipment import IMPLYING_RELEASE

_COMPLETE_MESSAGES: Final[Messages] = {CaptureNotSupported: "capture failed"}


async def complete(request: web.Request, body: CompleteRequest) -> dict[str, Any]:
    """Capture and ship the shipment. The same content again is `ok` again, without a second effect."""
    named = about_shipment(request, body.shipment, _COMPLETE_MESSAGES)
    check_order(body.shipment, body.order)
    departure = departure_of(body, comment=body.internal_comment)
    async with shipment_turn(request, body.shipment, captures=body.capture is not False) as connection:
        try:
            await complete_shipment(
                connection,
                shipment_number=body.shipment,
                departure=departure,
                shippable=IMPLYING_RELEASE,
                capture=body.capture,
                **payment(request),
                **origin(request),
            )
        except ShipmentAlreadyShipped:
            if not await is_repeated(connection, body.shipment, departure, capture=body.capture):
                raise
            outcome = "repeated"
        else:
            outcome = "shipped"
        await done(request, connection, outcome)
    return {"status": "ok", **named}


async def capture(request: web.Request, body: CaptureRequest) -> dict[str, Any]:
    """Take the shipment's money, unless that has been done."""
    named = about_shipment(request, body.shipment)
    check_order(body.shipment, body.order)
    async with shipment_turn(request, body.shipment, captures=True) as connection:
        await capture_shipment(connection, body.shipment, **payment(request))
        await done(request, connection, "captured")
    return {"status": "ok", **named}
