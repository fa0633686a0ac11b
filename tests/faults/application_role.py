"""The role that the system has at a private server. Limits and settings of it do not bind the test, a superuser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.faults.private_servers import PrivatePostgres

APPLICATION = "application"


@asynccontextmanager
async def admin_pool(postgres: PrivatePostgres) -> AsyncIterator[asyncpg.Pool[Any]]:
    """Make the role; provide the test's own way to the database, which takes writes whatever the default is."""
    password = urlsplit(postgres.url).password
    async with asyncpg.create_pool(
        postgres.url, min_size=0, max_size=4, server_settings={"default_transaction_read_only": "off"}
    ) as pool:
        await pool.execute(f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{password}'")
        await pool.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {APPLICATION}")
        await pool.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {APPLICATION}")
        yield pool


def as_application(url: str) -> str:
    """Return the same address with the role's name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{APPLICATION}:{parts.password}@{parts.hostname}:{parts.port}"))
