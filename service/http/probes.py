"""Liveness and readiness. None of these needs a key, and none tells anything about the inside."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog
from aiohttp import web

from service.services import SERVICES
from service.settings import Settings
from service.wiring import CONNECTION_ERRORS, takes_writes

log = structlog.get_logger()

READY_TIMEOUT_S = 2.0


async def alive(_request: web.Request) -> web.Response:
    """200 as long as the process answers; no I/O."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 while the database answers and takes writes, else 503."""
    if await database_answers(request.app[SERVICES].settings):
        return web.json_response({"status": "ready"})
    return web.json_response({"status": "unavailable", "database": "unreachable"}, status=503)


async def database_answers(settings: Settings) -> bool:
    """Ask on a connection of its own: a pool that is merely busy is no reason to take the process out of service."""
    connection = None
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            connection = await asyncpg.connect(
                settings.database_url, server_settings={"application_name": "waybill probe"}
            )
            await connection.execute("SELECT 1")
            if not takes_writes(connection):
                log.warning("database_read_only")
                return False
    except CONNECTION_ERRORS as error:
        log.warning("database_unreachable", cause=repr(error))
        return False
    else:
        return True
    finally:
        if connection is not None:
            connection.terminate()


def routes() -> list[web.RouteDef]:
    """Return the probes' routes; the two under /integration are those of the published contract."""
    return [
        web.get("/healthz", alive),
        web.get("/readyz", ready),
        web.get("/integration/status", alive),
        web.get("/integration/healthcheck", ready),
    ]
