"""Wait for something that another process or server makes true and cannot tell us about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(
    condition: Callable[[], Awaitable[object]],
    *,
    timeout: float = 60,  # noqa: ASYNC109 - a test's patience
) -> None:
    """Return once `condition` holds. Raise `TimeoutError` if it does not in time."""
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110 - nobody here can set an event
            await asyncio.sleep(0.01)
