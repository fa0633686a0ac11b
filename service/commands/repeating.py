"""Commands that run once, or again and again until they are stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service.shipping.errors import TemporarilyUnavailable
from service.wiring import CONNECTION_ERRORS

log = structlog.get_logger()


async def repeat(work: Callable[[], Awaitable[None]], *, every_s: float | None, stop: asyncio.Event) -> None:
    """Do `work` once, or every so many seconds until `stop`; then a lost database is waited out until the next time.

    Done once, it raises what `work` raises.
    """
    if every_s is None:
        await work()
        return
    while not stop.is_set():
        try:
            await work()
        except (TemporarilyUnavailable, *CONNECTION_ERRORS) as error:
            log.warning("database_lost", reason=f"{type(error).__name__}: {error}", retry_in_s=every_s)
        try:
            async with asyncio.timeout(every_s):
                await stop.wait()
        except TimeoutError:
            continue
