"""The Shipment Completion API. Contract: reference text "Shipment Completion API"."""

from __future__ import annotations

import structlog
from aiohttp import web

from schemas.paths import SHIPMENTS_BASE
from schemas.shipment_completion import CompleteShipmentRequest, CompleteShipmentResponse
from service.http.authentication import require_scope
from service.http.bodies import read_json
from service.http.context import ORIGIN, Origin
from service.keys import Scope
from service.services import SERVICES
from service.shipping.complete_together import Completion
from service.shipping.departure import Departure, Parcel


async def complete(request: web.Request) -> web.Response:
    """POST complete-shipment: 200 once SHIPPED is committed."""
    body = await read_json(request, CompleteShipmentRequest)
    structlog.contextvars.bind_contextvars(shipment_number=body.shipmentNumber)
    services = request.app[SERVICES]
    completion = completion_of(body, request[ORIGIN])
    async with services.turns.hold(body.shipmentNumber, timeout_s=services.settings.lock_timeout_s):
        completed = await services.completions.complete(completion)
    answer = CompleteShipmentResponse(shipmentNumber=completed.shipment_number, orderNumber=completed.order_number)
    return web.json_response(text=answer.model_dump_json())


def completion_of(body: CompleteShipmentRequest, origin: Origin) -> Completion:
    """Return what a body asks for."""
    return Completion(
        shipment_number=body.shipmentNumber,
        departure=Departure(
            parcels=(Parcel(tracking_number=body.carrierTrackingNumber),) if body.carrierTrackingNumber else (),
            # This API always mails.
            notify=True,
        ),
        request_id=origin.request_id,
        traceparent=origin.traceparent,
    )


def routes() -> list[web.RouteDef]:
    """Return the contract's routes; old clients add a trailing slash."""
    guarded = require_scope(Scope.COMPLETE_SHIPMENTS, complete)
    return [
        web.post(f"{SHIPMENTS_BASE}/complete-shipment", guarded),
        web.post(f"{SHIPMENTS_BASE}/complete-shipment/", guarded),
    ]
