"""`waybill api`: the HTTP front."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Annotated

import structlog
import typer
from aiohttp import web

from service.http.app import build_app
from service.logs import configure_logs
from service.settings import Settings, SettingsError, load_settings
from service.stop import stop_on_signals
from service.wiring import spare_the_collector

log = structlog.get_logger()

# A worker process that dies is replaced. One that ends sooner than this could not even start: it has said why, and
# trying for ever would only hide it.
SHORTEST_RUN_S = 5.0

# A connection without a request, or with half of one, is closed then. Longer than load balancers keep theirs, so that
# none is closed under a request that is on its way.
IDLE_CONNECTION_S = 75.0


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default WAYBILL_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; default WAYBILL_PORT.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
    share_port: Annotated[bool, typer.Option("--share-port", hidden=True)] = False,
) -> None:
    """Serve the HTTP APIs until SIGTERM or Ctrl-C; running requests are finished first."""
    settings = load_settings()
    settings.require("database_url", "payment_url|stripe_api_key")
    settings = settings.model_copy(
        update={"host": host or settings.host, "port": settings.port if port is None else port}
    )
    configure_logs(settings, process="api")
    if workers == 1:
        serve(settings, share_port=share_port)
    elif settings.port == 0:
        raise SettingsError("WAYBILL_PORT or --port must name a port when several workers share it")
    else:
        raise typer.Exit(asyncio.run(_supervise(settings, workers)))


def serve(settings: Settings, *, share_port: bool) -> None:
    """Run one API process."""
    app = build_app(settings)

    async def announce(_app: web.Application) -> None:
        spare_the_collector()
        log.info("api_started", url=f"http://{settings.host}:{settings.port}")

    app.on_startup.append(announce)
    web.run_app(
        app,
        host=settings.host,
        port=settings.port,
        reuse_port=share_port or None,
        # A caller that hangs up must not stop a payment half way.
        handler_cancellation=False,
        shutdown_timeout=settings.shutdown_timeout_s,
        keepalive_timeout=IDLE_CONNECTION_S,
        access_log=None,
        print=lambda *_: None,
    )


async def _supervise(settings: Settings, workers: int) -> int:
    """Keep `workers` API processes running until stopped; return the exit code."""
    with stop_on_signals() as stop:
        keepers = [asyncio.create_task(_keep_running(settings, stop)) for _ in range(workers)]
        codes = await asyncio.gather(*keepers)
    return max(codes)


async def _keep_running(settings: Settings, stop: asyncio.Event) -> int:
    """Run one API process, again if it dies; return its exit code once stopped, or if it could not even start."""
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "api",
            "--host", settings.host, "--port", str(settings.port), "--share-port",
            # Out of reach of the terminal's Ctrl-C: the stop comes from here, once. Still in our session, so that
            # whoever ends that leaves none of these behind.
            process_group=0,
        )  # fmt: skip
        ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            return await ended
        code = await ended
        log.error("api_worker_ended", exit_code=code, ran_s=round(loop.time() - started, 1))
        if loop.time() - started < SHORTEST_RUN_S:
            stop.set()
            return code or 1
