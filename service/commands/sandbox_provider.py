"""`waybill sandbox-provider`: a payment provider to develop and test against; `waybill dev` starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from service.dev.sandbox_provider import run_sandbox
from service.dev.sandbox_provider_ledger import LedgerError
from service.logs import configure_logs
from service.settings import load_settings
from service.stop import stop_on_signals

log = structlog.get_logger()


def sandbox_provider(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any free one")] = 8090,
    data_dir: Annotated[Path, typer.Option(help="folder of the ledger")] = Path(".waybill/sandbox"),
) -> None:
    """Run the sandbox payment provider, whose money does not exist."""
    configure_logs(load_settings(), process="sandbox-provider")
    try:
        asyncio.run(_serve(host=host, port=port, data_dir=data_dir))
    except (LedgerError, OSError) as error:
        sys.stderr.write(f"waybill: {error}\n")
        raise typer.Exit(1) from None


async def _serve(*, host: str, port: int, data_dir: Path) -> None:
    with stop_on_signals() as stop:
        async with run_sandbox(host=host, port=port, data_dir=data_dir) as sandbox:
            log.info("sandbox_provider_started", url=sandbox.url)
            await stop.wait()
    log.info("sandbox_provider_stopped")
