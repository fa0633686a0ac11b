"""`Idempotency-Key`: for 24 hours the same request under the same key is answered with the same bytes.

Only what has been done is kept. A refusal has changed nothing, so the request may be tried again under its key; a
failure of the service least of all ends it. A call whose process died before the answer was kept is simply done again:
every request is idempotent by itself, and a creation finds what it had made under its key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import asyncpg
import structlog
from aiohttp import web

from service.http.authentication import API_KEY
from service.http.errors import DATABASE_AWAY
from service.http.order_api_answers import answer, answer_encoded
from service.services import SERVICES
from service.shipping.creation import RequestKey
from service.shipping.errors import InvalidRequest, TemporarilyUnavailable
from sql import queries

log = structlog.get_logger()

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"

# The key of a request that has one.
REQUEST_KEY = web.RequestKey("request_key", RequestKey)

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


async def once(request: web.Request, act: Callable[[], Awaitable[dict[str, Any]]]) -> web.Response:
    """Answer as before where the request was answered under its key, else with what `act` returns.

    Calls under one key take turns. Raises `InvalidRequest` for a key that is none, 422 for one that was used with
    another request, and whatever `act` raises.
    """
    if HEADER not in request.headers:
        return answer(request, await act())
    key = _key_of(request)
    request[REQUEST_KEY] = key
    services = request.app[SERVICES]
    async with services.turns.hold(f"key:{key.api_key_id}:{key.key}", timeout_s=services.settings.lock_timeout_s):
        sha256 = await _sha256(request)
        async with services.connection() as connection:
            known = await queries("idempotency").claim_key(connection, **asdict(key), request_sha256=sha256)
        if not known["same"]:
            raise web.HTTPUnprocessableEntity(text=f"{HEADER}: was used with another request")
        if known["body"] is not None:
            structlog.contextvars.bind_contextvars(outcome="replayed")
            return _replay(request, known)
        response = answer(request, await act())
        kept = await _keep(request, key, sha256, response)
        return response if kept is None or kept["body"] == response.text else _replay(request, kept)


async def _keep(request: web.Request, key: RequestKey, sha256: bytes, response: web.Response) -> asyncpg.Record | None:
    try:
        async with request.app[SERVICES].connection() as connection:
            kept: asyncpg.Record | None = await queries("idempotency").keep_answer(
                connection, **asdict(key), request_sha256=sha256, status=response.status, body=response.text
            )
            return kept
    except (TemporarilyUnavailable, *DATABASE_AWAY) as error:
        # It is done, and the caller is to hear that; who repeats the request finds it done.
        log.warning("answer_not_kept", cause=repr(error))
        return None


def _replay(request: web.Request, kept: asyncpg.Record) -> web.Response:
    return answer_encoded(request, kept["body"], status=kept["status"], headers={REPLAYED_HEADER: "true"})


async def _sha256(request: web.Request) -> bytes:
    line = f"{request.method} {request.path.rstrip('/')}?{request.query_string}\n"
    return hashlib.sha256(line.encode("utf-8", "surrogateescape") + await request.read()).digest()


def _key_of(request: web.Request) -> RequestKey:
    key = request.headers[HEADER].strip()
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"{HEADER}: expected 1 to 255 printable ASCII characters")
    return RequestKey(request[API_KEY].id, key)
