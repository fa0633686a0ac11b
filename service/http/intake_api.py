"""Orders in and out: PUT and GET `/integration/api/orders/v1/orders/{orderNumber}`. Contract: schemas/orders.py."""

from __future__ import annotations

import structlog
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from schemas.fields import Code
from schemas.order_answers import IntakeAnswer
from schemas.orders import IntakeOrder
from schemas.paths import ORDERS_BASE
from service.http.authentication import require_scope
from service.http.bodies import LARGEST_LIMIT, read_json
from service.http.context import ORIGIN
from service.keys import Scope
from service.services import SERVICES
from service.shipping.errors import InvalidRequest, OrderNotFound
from service.shipping.intake import intake_order
from service.shipping.orders import find_order

_ORDER_NUMBER: TypeAdapter[str] = TypeAdapter(Code)


async def put_order(request: web.Request) -> web.Response:
    """Create or change an order: 201 once it is created, 200 when it existed. Bodies up to 1 MiB."""
    body = await read_json(request, IntakeOrder, limit=LARGEST_LIMIT)
    number = _number(body, request.match_info["orderNumber"])
    order = body.model_copy(update={"order_number": number})
    structlog.contextvars.bind_contextvars(order_number=number)
    services = request.app[SERVICES]
    origin = request[ORIGIN]
    async with services.turn(f"order:{number}", order_number=number) as connection:
        result = await intake_order(connection, order, request_id=origin.request_id, traceparent=origin.traceparent)
        structlog.contextvars.bind_contextvars(outcome=result.outcome)
        if result.outcome != "unchanged":
            await services.wakeup.wake(connection)
    answer = IntakeAnswer(order_number=result.order_number, status=result.outcome, shipments=list(result.shipments))
    return web.json_response(
        text=answer.model_dump_json(by_alias=True), status=201 if result.outcome == "created" else 200
    )


async def get_order(request: web.Request) -> web.Response:
    """Return the order as it stands."""
    number = request.match_info["orderNumber"]
    try:
        number = _ORDER_NUMBER.validate_python(number)
    except ValidationError:
        # What cannot be a number is the number of no order, and nothing to ask the database about.
        raise OrderNotFound(number) from None
    async with request.app[SERVICES].connection() as connection:
        answer = await find_order(connection, number)
    return web.json_response(text=answer.model_dump_json(by_alias=True, exclude_none=True))


def _number(order: IntakeOrder, path_number: str) -> str:
    try:
        number = _ORDER_NUMBER.validate_python(path_number)
    except ValidationError as error:
        raise InvalidRequest(f"orderNumber in the path: {error.errors()[0]['msg']}") from None
    if order.order_number not in {None, number}:
        raise InvalidRequest(f"orderNumber: expected {number} as in the path, or none")
    return number


def routes() -> list[web.RouteDef]:
    """Return the routes, each with and without a trailing slash."""
    put = require_scope(Scope.WRITE_ORDERS, put_order)
    get = require_scope(Scope.READ_ORDERS, get_order)
    return [
        route
        for path in (f"{ORDERS_BASE}/{{orderNumber}}", f"{ORDERS_BASE}/{{orderNumber}}/")
        for route in (web.put(path, put), web.get(path, get))
    ]
