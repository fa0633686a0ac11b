"""Who is asking, under which request id: bound to the request, to its log lines and to the events it causes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

import structlog
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID_HEADER = "X-Request-Id"
# Instead of the versions of our libraries.
SERVER = "Waybill"
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header-field-values
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from; travels with the event to the mail."""

    request_id: str
    traceparent: str


ORIGIN = web.RequestKey("origin", Origin)


def origin_of(request: web.Request) -> Origin:
    """Take over the caller's request id and trace where they are well-formed, else make new ones."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    trace = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    trace_id, flags = trace.groups() if trace else (secrets.token_hex(16), "01")
    return Origin(
        request_id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16),
        # Our own span within the caller's trace.
        traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-{flags}",
    )


@web.middleware
async def request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost: bind the origin, answer with the request id and write the request's one canonical line."""
    started = perf_counter()
    origin = origin_of(request)
    request[ORIGIN] = origin
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process="api", request_id=origin.request_id)
    response = await handler(request)
    response.headers[REQUEST_ID_HEADER] = origin.request_id
    resource = request.match_info.route.resource
    route = resource.canonical if resource else None
    # Probes come every few seconds and say nothing while all is well.
    level = "debug" if route in QUIET_ROUTES and response.status < 500 else "info"
    getattr(log, level)(
        "request_finished",
        method=request.method,
        route=route or request.path[:200],
        status=response.status,
        duration_ms=round((perf_counter() - started) * 1000, 1),
    )
    return response


async def name_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Sign every answer, also those that no middleware sees."""
    response.headers["Server"] = SERVER


QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/integration/status", "/integration/healthcheck"})
