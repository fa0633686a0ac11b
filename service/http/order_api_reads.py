"""The Order API's lists: `GET /orders`, `GET /shipments` and `GET /shipments/<id>`."""

from __future__ import annotations

from typing import TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from schemas.order_api_answers import OrderList, ShipmentList, ShipmentRow
from schemas.order_api_queries import OrdersQuery, ShipmentsQuery
from service.http.authentication import require_scope
from service.http.bodies import describe
from service.http.document_links import document_links
from service.http.order_api_answers import answer, is_true
from service.http.order_api_work import about_shipment, shipment_in_path
from service.keys import Scope
from service.services import SERVICES
from service.shipping.errors import InvalidRequest, ShipmentNotFound
from service.shipping.lists import Bound, Page, find_shipment, list_orders, list_shipments

Query = TypeVar("Query", bound=BaseModel)


async def get_orders(request: web.Request) -> web.Response:
    """Answer with a page of orders, oldest first."""
    query = _query(request, OrdersQuery)
    async with request.app[SERVICES].connection() as connection:
        orders = await list_orders(
            connection,
            page=Page(query.limit, query.offset),
            order_number=query.order,
            newer_than=Bound(query.newer_than),
            older_than=Bound(query.older_than),
        )
    structlog.contextvars.bind_contextvars(rows=len(orders))
    return answer(request, OrderList(status="ok", orders=orders).model_dump(by_alias=True))


async def get_shipments(request: web.Request) -> web.Response:
    """Answer with a page of one of the lists of shipments, oldest first."""
    query = _query(request, ShipmentsQuery)
    async with request.app[SERVICES].connection() as connection:
        shipments = await list_shipments(
            connection, page=Page(query.limit, query.offset), name=query.status, order_number=query.order
        )
    return _shipments(request, shipments)


async def get_shipment(request: web.Request) -> web.Response:
    """Answer with one shipment, whatever its status, in a list of one."""
    number = shipment_in_path(request)
    about_shipment(request, number)
    async with request.app[SERVICES].connection() as connection:
        shipment = await find_shipment(connection, number)
    if shipment is None:
        raise ShipmentNotFound(number)
    return _shipments(request, [shipment])


def _shipments(request: web.Request, shipments: list[ShipmentRow]) -> web.Response:
    structlog.contextvars.bind_contextvars(rows=len(shipments))
    # An addition to the contract that only those see who ask for it.
    with_parcels = is_true(request.query.get("parcels"))
    rows = [_with_links(request, row).model_copy(update={} if with_parcels else {"parcels": None}) for row in shipments]
    return answer(request, ShipmentList(status="ok", shipments=rows).model_dump(by_alias=True, exclude_none=True))


def _with_links(request: web.Request, row: ShipmentRow) -> ShipmentRow:
    links = document_links(request, row.shipment_id, paid=row.paid == 1)
    return row.model_copy(
        update={
            "delivery_note": links.get("deliveryNote", ""),
            "proforma": links.get("proforma", ""),
            "invoices": [links["invoice"]] if "invoice" in links else [],
        }
    )


def _query(request: web.Request, model: type[Query]) -> Query:
    given = {name: value for name, value in request.query.items() if value.strip()}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(describe(error)) from None


def routes(prefix: str) -> list[web.RouteDef]:
    """Return the routes below `prefix`, each with and without a trailing slash."""
    reads = {
        f"{prefix}/orders": require_scope(Scope.READ_ORDERS, get_orders),
        f"{prefix}/shipments": require_scope(Scope.READ_SHIPMENTS, get_shipments),
        f"{prefix}/shipments/{{shipment}}": require_scope(Scope.READ_SHIPMENTS, get_shipment),
    }
    return [web.get(path + slash, handler) for path, handler in reads.items() for slash in ("", "/")]
