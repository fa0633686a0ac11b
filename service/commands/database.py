"""One connection for a command that does one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.settings import Settings, load_settings
from service.wiring import PooledConnection, check_migrated, open_pool

Result = TypeVar("Result")


def with_database(name: str, work: Callable[[PooledConnection], Awaitable[Result]]) -> Result:
    """Run `work` with a connection to WAYBILL_DATABASE_URL. Raises `SettingsError` if there is no such database."""
    settings = load_settings()
    settings.require("database_url")
    return asyncio.run(_run(settings, name, work))


async def _run(settings: Settings, name: str, work: Callable[[PooledConnection], Awaitable[Result]]) -> Result:
    async with open_pool(settings, name=name, size=1, standby_too=True, plan_once=False) as pool:
        await check_migrated(pool)
        async with pool.acquire() as connection:
            return await work(connection)
