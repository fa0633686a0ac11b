"""See that somebody waits for somebody else's transaction to end."""

from __future__ import annotations

import asyncpg

from tests.support.waiting import until

# Of this database, and for a transaction: the server itself takes short locks of other kinds all the time.
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"


async def until_somebody_waits(pool: asyncpg.Pool | asyncpg.Connection) -> None:
    """Return once a statement waits for a row that another transaction holds."""

    async def somebody_waits() -> bool:
        # Within a transaction the server shows what it showed at the first look, for ever.
        await pool.execute("SELECT pg_stat_clear_snapshot()")
        return bool(await pool.fetchval(_WAITING))

    await until(somebody_waits)
