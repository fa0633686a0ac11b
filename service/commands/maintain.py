"""`waybill maintain`: keep the history as short as it may be."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import structlog
import typer

from service.commands.repeating import repeat
from service.logs import configure_logs
from service.retention import clear_away
from service.settings import Settings, load_settings
from service.stop import stop_on_signals
from service.wiring import borrow_connection, check_migrated, open_pool

log = structlog.get_logger()


def maintain(
    *,
    every: Annotated[float | None, typer.Option(min=0.01, help="Again every so many hours, until stopped.")] = None,
) -> None:
    """Delete events, handled messages, mails and webhook deliveries that are older than their settings say.

    Never orders, shipments or captures, nor what is still to be published or sent. Safe while everything runs.
    """
    settings = load_settings()
    settings.require("database_url")
    configure_logs(settings, process="maintain")
    asyncio.run(_run(settings, every_s=every * 3600 if every else None))


async def _run(settings: Settings, *, every_s: float | None) -> None:
    with stop_on_signals() as stop:
        async with open_pool(settings, name="maintain", size=1, plan_once=False) as pool:
            await check_migrated(pool)

            async def clear() -> None:
                async with borrow_connection(pool, timeout_s=settings.database_acquire_timeout_s) as connection:
                    cleared = await clear_away(
                        connection,
                        history_days=settings.history_days,
                        webhooks_days=settings.webhooks_history_days,
                        now=datetime.now(UTC),
                    )
                log.info("history_cleared", **asdict(cleared))

            await repeat(clear, every_s=every_s, stop=stop)
