"""`waybill inbox`: an SMTP server that keeps mails and shows them; `waybill dev` starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from service.logs import configure_logs
from service.settings import load_settings
from service.stop import stop_on_signals

log = structlog.get_logger()


def inbox(
    smtp_port: Annotated[int, typer.Option(min=1, max=65535, help="port that takes mail")] = 8025,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="port that shows mail")] = 8026,
    data_dir: Annotated[Path, typer.Option(help="folder of the mails")] = Path(".waybill/mail"),
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
) -> None:
    """Take every mail, deliver none, and show them."""
    configure_logs(load_settings(), process="inbox")
    try:
        asyncio.run(_serve(data_dir, host=host, smtp_port=smtp_port, http_port=http_port))
    except OSError as error:
        sys.stderr.write(f"waybill: {error}\n")
        raise typer.Exit(1) from None


async def _serve(data_dir: Path, *, host: str, smtp_port: int, http_port: int) -> None:
    # Here, because an installation for production leaves the SMTP server's package out.
    from service.dev.inbox import Inbox, serve_smtp  # noqa: PLC0415
    from service.dev.inbox_page import serve_pages  # noqa: PLC0415

    kept = Inbox(data_dir)
    with stop_on_signals() as stop:
        async with serve_smtp(kept, host=host, port=smtp_port), serve_pages(kept, host=host, port=http_port):
            log.info("inbox_started", smtp=f"{host}:{smtp_port}", page=f"http://{host}:{http_port}")
            await stop.wait()
    log.info("inbox_stopped")
