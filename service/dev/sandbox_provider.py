"""The sandbox payment provider: an HTTP server that captures money which does not exist, and keeps its word.

POST /captures                    {authorization, amount, currency, final}, header Idempotency-Key
GET  /captures/<idempotency key>  what became of it
GET  /ledger                      every capture that moved money
GET  /healthz
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from service.dev.sandbox_provider_captures import Captures, Decision, KeyReused, OutOfService, behaviour_of
from service.dev.sandbox_provider_entry import CaptureRequest
from service.dev.sandbox_provider_ledger import LedgerError, open_ledger

LEDGER_FILE: Final = "sandbox-ledger.jsonl"
IDEMPOTENCY_KEY_MAX: Final = 255
# How often a request that is never answered looks whether its client is still there.
PRESENCE_CHECK_S: Final = 0.1
# How long a stop leaves such requests open before it cuts them off.
UNANSWERED_AT_STOP_S: Final = 0.5

CAPTURES = web.AppKey("CAPTURES", Captures)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox provider that listens."""

    url: str
    captures: Captures


@asynccontextmanager
async def run_sandbox(*, host: str, port: int, data_dir: Path) -> AsyncIterator[RunningSandbox]:
    """Serve from the ledger in `data_dir`; port 0 takes a free one. Raises `LedgerError`, and OSError for the port."""
    async with open_ledger(data_dir / LEDGER_FILE) as ledger:
        captures = Captures(ledger)
        app = create_app(captures)
        runner = web.AppRunner(app, handler_cancellation=False, access_log=None, shutdown_timeout=UNANSWERED_AT_STOP_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            bound_host, bound_port = runner.addresses[0][:2]
            url = URL.build(scheme="http", host=bound_host, port=bound_port)
            yield RunningSandbox(url=str(url).rstrip("/"), captures=captures)
        finally:
            await runner.cleanup()


def create_app(captures: Captures) -> web.Application:
    """Return the provider's routes over `captures`."""
    app = web.Application(middlewares=[_refuse], client_max_size=16 * 1024)
    app[CAPTURES] = captures
    app.add_routes(
        [
            web.post("/captures", _capture),
            web.get("/captures/{idempotency_key}", _find),
            web.get("/ledger", _ledger),
            web.get("/healthz", _health),
        ]
    )
    app.on_shutdown.append(_stop)
    return app


async def _stop(app: web.Application) -> None:
    await app[CAPTURES].stop()


@web.middleware
async def _refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) or "body" for item in error.errors(include_input=False))
        return _error(422, f"wrong: {fields}")
    except KeyReused:
        return _error(422, "this idempotency key was used with other parameters")
    except OutOfService:
        return _error(503, "out of service")
    except LedgerError as error:
        return _error(500, str(error))


async def _capture(request: web.Request) -> web.StreamResponse:
    key = request.headers.get("Idempotency-Key", "")
    if not 0 < len(key) <= IDEMPOTENCY_KEY_MAX:
        return _error(400, f"Idempotency-Key: a header of 1 to {IDEMPOTENCY_KEY_MAX} characters is required")
    wanted = CaptureRequest.model_validate_json(await request.read())
    decision = await request.app[CAPTURES].capture(key, wanted)
    if not decision.repeated and not behaviour_of(wanted.authorization).answers:
        await _leave_unanswered(request)
    return _answer(decision)


async def _find(request: web.Request) -> web.Response:
    captures = request.app[CAPTURES]
    key = request.match_info["idempotency_key"]
    entry = captures.find(key)
    if entry is not None:
        return web.json_response(entry.as_answer())
    if captures.is_accepted(key):
        return web.json_response({"status": "processing"}, status=202)
    return web.json_response({"status": "unknown"}, status=404)


async def _ledger(request: web.Request) -> web.Response:
    return web.json_response([entry.as_ledger_row() for entry in request.app[CAPTURES].captured()])


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _leave_unanswered(request: web.Request) -> None:
    # A client that leaves does not cancel its request, so that nothing accepted is cut short: somebody has to look.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(PRESENCE_CHECK_S)


def _answer(decision: Decision) -> web.Response:
    headers = {"Idempotency-Replayed": "true" if decision.repeated else "false"}
    return web.json_response(decision.entry.as_answer(), headers=headers)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
