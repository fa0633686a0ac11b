"""What the Order API's writing calls share: whom a call is about, its turn with a connection, its log fields."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any

import structlog
from aiohttp import web

from service.http.context import ORIGIN
from service.http.order_api_errors import SUBJECT, Refused, Subject
from service.http.order_api_requests import order_value
from service.services import SERVICES
from service.shipping.errors import ShipmentNotFound, WaybillError
from service.wiring import PooledConnection

Messages = Mapping[type[WaybillError], str]


def about_shipment(request: web.Request, number: str, messages: Messages | None = None) -> dict[str, Any]:
    """Say that the request is about this shipment, and return the fields that name it in every answer."""
    order_number, _, _ = number.rpartition("-")
    fields: dict[str, Any] = {"order": order_value(order_number)} if order_number else {}
    fields["shipment"] = number
    request[SUBJECT] = Subject(fields, messages or {})
    structlog.contextvars.bind_contextvars(shipment_number=number, order_number=order_number or None)
    return fields


def about_order(request: web.Request, number: str, messages: Messages) -> None:
    """Say that the request is about this order. The contract's refusals name it as text, its successes as a number."""
    request[SUBJECT] = Subject({"order": number}, messages)
    structlog.contextvars.bind_contextvars(order_number=number)


def shipment_in_path(request: web.Request) -> str:
    """Return the number of the shipment that the path names. Raises `ShipmentNotFound` for what cannot be one."""
    number = request.match_info["shipment"].strip()
    if not number.isprintable():
        raise ShipmentNotFound(number)
    return number


def check_order(shipment_number: str, order_number: str | None) -> None:
    """Raise `Refused` where the caller names another order than the shipment's."""
    if order_number not in {None, shipment_number.rpartition("-")[0]}:
        raise Refused("shipment does not belong to the order")


def shipment_turn(
    request: web.Request, shipment_number: str, *, captures: bool = False
) -> AbstractAsyncContextManager[PooledConnection]:
    """Wait for the shipment's turn within this process, then borrow a connection; `captures` as in `Services.turn`."""
    return request.app[SERVICES].turn(
        shipment_number,
        order_number=shipment_number.rpartition("-")[0],
        shipment_number=shipment_number,
        captures=captures,
    )


async def done(request: web.Request, connection: PooledConnection, outcome: str, **fields: Any) -> None:  # noqa: ANN401
    """Note what became of the request, and tell the relays that there may be an event. After the commit."""
    structlog.contextvars.bind_contextvars(outcome=outcome, **fields)
    await request.app[SERVICES].wakeup.wake(connection)


def origin(request: web.Request) -> dict[str, Any]:
    """Return the arguments that let events be traced to this request."""
    return asdict(request[ORIGIN])


def payment(request: web.Request) -> dict[str, Any]:
    """Return the arguments of a use case that may capture."""
    services = request.app[SERVICES]
    return {"providers": services.providers, "capture_timeout_s": services.settings.capture_timeout_s}
