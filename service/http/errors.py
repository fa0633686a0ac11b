"""From an exception to an answer, in one place. Nothing of the exception but a `WaybillError`'s own text goes out."""

from __future__ import annotations

import asyncpg
import structlog
from aiohttp import web

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
    asyncpg.InterfaceError,
    TimeoutError,
    OSError,
)


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Build the Shipment Completion API's error body, which all of our own endpoints share."""
    return web.json_response({"error": message}, status=status, headers=headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into the documented answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _from_aiohttp(error)
    except WaybillError as error:
        return _from_domain(error)
    except DATABASE_AWAY as error:
        log.warning("dependency_unavailable", cause=repr(error))
        return _from_domain(TemporarilyUnavailable())
    except Exception:
        log.exception("request_failed")
        return error_response(500, "Internal server error.")


def _from_domain(error: WaybillError) -> web.Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return error_response(status, str(error), headers)


def _from_aiohttp(error: web.HTTPException) -> web.Response:
    if error.status < 400:
        raise error
    kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate", "Retry-After") if name in error.headers}
    return error_response(
        error.status, error.text if error.content_type == "text/plain" and error.text else error.reason, kept
    )
