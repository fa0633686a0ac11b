"""From an exception to an answer, in one place per contract: here what has failed, and this service's usual answer.

Nothing of an exception but a `WaybillError`'s own text goes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import asyncpg
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from service.http.context import Handler
from service.shipping.errors import (
    CaptureFailed,
    InvalidRequest,
    OrderConflict,
    OrderNotFound,
    SelectionRefused,
    ShipmentAlreadyShipped,
    ShipmentIsPaid,
    ShipmentNotFound,
    ShipmentNotReleased,
    TemporarilyUnavailable,
    WaybillError,
)

log = structlog.get_logger()

RETRY_AFTER_S = 5

STATUS: dict[type[WaybillError], int] = {
    InvalidRequest: 400,
    ShipmentNotReleased: 400,
    ShipmentNotFound: 404,
    OrderNotFound: 404,
    SelectionRefused: 400,
    ShipmentAlreadyShipped: 409,
    ShipmentIsPaid: 409,
    OrderConflict: 409,
    CaptureFailed: 500,
    TemporarilyUnavailable: 503,
}

# What the database says within a transaction when it, or a lock, cannot be had now. Everything else is a bug of ours.
DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # It is a standby, or has been told to take no writes.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # How the driver calls a connection that the server ended while it was idle.
    asyncpg.InternalClientError,
    TimeoutError,
    OSError,
)


class Bug(Exception):
    """A failure that no caller can do anything about. Its cause is in the log."""

    def __init__(self) -> None:
        super().__init__("Internal server error.")


Failure: TypeAlias = WaybillError | web.HTTPException | Bug
# Answers a failure in the words of one contract.
Renderer: TypeAlias = Callable[[web.Request, Failure], Awaitable[web.Response]]


def errors_answered(contracts: Mapping[str, Renderer]) -> Middleware:
    """Turn every failure into the documented answer: that of the contract below whose path the request is.

    Everything else is answered as the Shipment Completion API says.
    """

    @web.middleware
    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            failure: Failure = error
        except Exception as error:  # noqa: BLE001 - logged there
            failure = failure_of(error)
        path = request.path
        render = next(
            (render for prefix, render in contracts.items() if path == prefix or path.startswith(f"{prefix}/")),
            _as_usual,
        )
        return await render(request, failure)

    return answering


def failure_of(error: Exception) -> WaybillError | Bug:
    """Return what a caller may know of an exception, and log the rest."""
    if isinstance(error, WaybillError):
        return error
    if isinstance(error, DATABASE_AWAY):
        log.warning("dependency_unavailable", cause=repr(error))
        return TemporarilyUnavailable()
    log.error("request_failed", exc_info=error)
    return Bug()


def status_of(failure: WaybillError | Bug) -> int:
    """Return the status that the Shipment Completion API has for a failure."""
    if isinstance(failure, Bug):
        return 500
    return next(STATUS[kind] for kind in type(failure).__mro__ if kind in STATUS)


def kept_headers(error: web.HTTPException) -> dict[str, str]:
    """Return the headers of an HTTP error that belong to the answer whatever its body looks like."""
    return {name: error.headers[name] for name in ("Allow", "WWW-Authenticate", "Retry-After") if name in error.headers}


def message_of(error: web.HTTPException) -> str:
    """Return what to tell about an HTTP error."""
    return error.text if error.content_type == "text/plain" and error.text else error.reason


async def _as_usual(_request: web.Request, failure: Failure) -> web.Response:
    """Build the Shipment Completion API's error body, which all of our own endpoints share."""
    if isinstance(failure, web.HTTPException):
        return _error(failure.status, message_of(failure), kept_headers(failure))
    status = status_of(failure)
    return _error(status, str(failure), {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)
