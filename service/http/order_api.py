"""The Order API's writing calls: their routes, and what is around each of them.

Contracts: reference texts "Complete shipment" and "Create shipment". The reading calls are in `order_api_reads`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from schemas.order_api import CaptureRequest, CompleteRequest, CreateRequest, UpdateRequest
from service.http.authentication import require_scope
from service.http.context import Handler
from service.http.idempotency import once
from service.http.order_api_answers import answer, look_for_wish
from service.http.order_api_complete import capture, complete
from service.http.order_api_requests import read_request
from service.http.order_api_shipments import create, remove, update
from service.keys import Scope

Body = TypeVar("Body", bound=BaseModel)
# From the body to the body of the answer. A refusal is raised; `order_api_errors` words it.
Act = Callable[[web.Request, Body], Awaitable[dict[str, Any]]]


def _with_body(model: type[Body], act: Act[Body]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await read_request(request, model)
        return await once(request, lambda: act(request, body))

    return handle


async def _delete(request: web.Request) -> web.Response:
    await look_for_wish(request)
    return answer(request, await remove(request))


def routes(prefix: str) -> list[web.RouteDef]:
    """Return the routes below `prefix`, each with and without a trailing slash."""
    completing = _with_body(CompleteRequest, complete)
    writes: list[tuple[str, str, Handler]] = [
        ("PUT", "/shipment", completing),
        ("POST", "/shipment", completing),
        ("POST", "/shipments", _with_body(CreateRequest, create)),
        ("PUT", "/shipments/{shipment}", _with_body(UpdateRequest, update)),
        ("DELETE", "/shipments/{shipment}", _delete),
        ("PUT", "/capture", _with_body(CaptureRequest, capture)),
    ]
    return [
        web.route(method, prefix + path + slash, require_scope(Scope.WRITE_SHIPMENTS, handler))
        for method, path, handler in writes
        for slash in ("", "/")
    ]
