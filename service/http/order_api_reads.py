"""The Order API's lists: `GET /orders`, `GET /shipments` and `GET /shipments/<id>`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import asyncpg
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
from service.shipping.list_rows import order_row, shipment_row
from service.shipping.lists import Bound, Page, find_shipment, list_orders, list_shipments

Query = TypeVar("Query", bound=BaseModel)
Build: TypeAlias = Callable[[web.Request, list[asyncpg.Record]], web.Response]


async def get_orders(request: web.Request) -> web.Response:
    """Answer with a page of orders, oldest first."""
    query = _query(request, OrdersQuery)
    async with request.app[SERVICES].connection() as connection:
        records = await list_orders(
            connection,
            page=Page(query.limit, query.offset),
            order_number=query.order,
            newer_than=Bound(query.newer_than),
            older_than=Bound(query.older_than),
        )
    return await _apart(_orders_answer, request, records)


async def get_shipments(request: web.Request) -> web.Response:
    """Answer with a page of one of the lists of shipments, oldest first."""
    query = _query(request, ShipmentsQuery)
    async with request.app[SERVICES].connection() as connection:
        records = await list_shipments(
            connection, page=Page(query.limit, query.offset), name=query.status, order_number=query.order
        )
    return await _apart(_shipments_answer, request, records)


async def get_shipment(request: web.Request) -> web.Response:
    """Answer with one shipment, whatever its status, in a list of one."""
    number = shipment_in_path(request)
    about_shipment(request, number)
    async with request.app[SERVICES].connection() as connection:
        records = await find_shipment(connection, number)
    if not records:
        raise ShipmentNotFound(number)
    return _shipments_answer(request, records)


async def _apart(build: Build, request: web.Request, records: list[asyncpg.Record]) -> web.Response:
    """Build an answer on a thread: a large page would keep everybody else waiting for tens of milliseconds."""
    structlog.contextvars.bind_contextvars(rows=len(records))
    return await asyncio.to_thread(build, request, records)


def _orders_answer(request: web.Request, records: list[asyncpg.Record]) -> web.Response:
    orders = [order_row(record) for record in records]
    return answer(request, OrderList(status="ok", orders=orders).model_dump(by_alias=True))


def _shipments_answer(request: web.Request, records: list[asyncpg.Record]) -> web.Response:
    rows = [_with_links(request, shipment_row(record)) for record in records]
    # An addition to the contract that only those see who ask for it.
    if not is_true(request.query.get("parcels")):
        rows = [row.model_copy(update={"parcels": None}) for row in rows]
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
