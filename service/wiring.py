"""The composition root: what every process opens, in one place that the tests use too."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg
import structlog

from service.settings import Settings, SettingsError
from service.shipping.errors import TemporarilyUnavailable
from sql import MIGRATIONS, queries

log = structlog.get_logger()

# A string, because asyncpg's classes are generic for the type checker only.
PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

CLOSE_TIMEOUT_S = 5.0

# What talking to a database that is away, or goes away, raises. The last is how the driver calls a connection that the
# server ended while it was idle.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

# Each connection plans a statement once, for whatever parameters come: planning takes the server as long as a short
# statement itself. A plan then stays for a minute or more, however the tables grow, and one made for a few rows would
# read them whole all through a new installation's first rush or a large import. So it goes by the indexes from the
# first row on, as all that the service asks for can.
_PLAN_ONCE = {"plan_cache_mode": "force_generic_plan"} | dict.fromkeys(
    ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"), "off"
)


async def _prepare_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # jsonb becomes Python values. `json` columns hold published bytes and stay text.
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


def takes_writes(connection: asyncpg.Connection[asyncpg.Record] | PooledConnection) -> bool:
    """Say, without asking it, whether the server takes writes: it reports these settings whenever they change."""
    settings = connection.get_settings()
    return "on" not in (
        getattr(settings, "in_hot_standby", "off"),
        getattr(settings, "default_transaction_read_only", "off"),
    )


def is_lost(connection: PooledConnection) -> bool:
    """Say whether a borrowed connection is closed."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has taken it back, which it does by itself when one is lost.
        return True


async def _refuse_standby(connection: PooledConnection) -> None:
    # Made or kept during a failover, such a connection would work as little after it. The pool closes what this
    # refuses, so that the next one may reach the new primary.
    if not takes_writes(connection):
        raise asyncpg.ReadOnlySQLTransactionError("the server takes no writes")


async def _keep_session(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Spare the statement with which the driver tidies up a session: nothing of ours outlives a transaction.

    What was not ended is rolled back all the same. Listening, session locks and settings have no place in a pool.
    """


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


@asynccontextmanager
async def open_pool(
    settings: Settings, *, name: str, size: int | None = None, standby_too: bool = False, plan_once: bool = True
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open the process's connection pool; `name` shows in pg_stat_activity.

    The server's own time-outs are set on every connection, so that a lock or a transaction that we lose sight of is
    freed by the server. The pool opens its first connection here: an unreachable database fails the start. It hands out
    no connection to a server that takes no writes, unless `standby_too`. Without `plan_once` the server plans by what
    it knows of the tables, which suits whoever reads much of them.
    """
    try:
        pool = await asyncpg.create_pool(
            settings.database_url,
            min_size=1,
            max_size=size or settings.database_pool_size,
            init=_prepare_connection,
            reset=_keep_session,
            setup=None if standby_too else _refuse_standby,
            timeout=settings.database_acquire_timeout_s,
            command_timeout=settings.lock_timeout_s + 5,
            server_settings={
                "application_name": f"waybill {name}",
                "lock_timeout": _milliseconds(settings.lock_timeout_s),
                "idle_in_transaction_session_timeout": _milliseconds(settings.idle_in_transaction_timeout_s),
                **(_PLAN_ONCE if plan_once else {}),
            },
        )
    except (ValueError, *CONNECTION_ERRORS) as error:
        reason = str(error) or type(error).__name__
        raise SettingsError(f"WAYBILL_DATABASE_URL: cannot connect to the database: {reason}") from error
    try:
        yield pool
    finally:
        # Bounded: a connection that somebody still holds must not keep the process from ending.
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def borrow_connection(pool: asyncpg.Pool[asyncpg.Record], *, timeout_s: float) -> AsyncIterator[PooledConnection]:
    """Borrow a connection. Raises `TemporarilyUnavailable` when none can be had within `timeout_s`, for any reason."""
    try:
        connection = await pool.acquire(timeout=timeout_s)
    except CONNECTION_ERRORS as error:
        log.warning("database_connection_unavailable", cause=repr(error))
        raise TemporarilyUnavailable from error
    try:
        yield connection
    finally:
        # By now the work is committed or rolled back: losing the connection here must not turn its answer into a 503.
        # The pool closes what it cannot clean up.
        with suppress(*CONNECTION_ERRORS):
            await pool.release(connection)


async def check_migrated(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Raise `SettingsError` unless every migration that this code was written against has been applied."""
    try:
        applied = await queries("migrations").applied(pool) or []
    except asyncpg.UndefinedTableError:
        applied = []
    except CONNECTION_ERRORS as error:
        raise SettingsError(f"WAYBILL_DATABASE_URL: cannot use the database: {error}") from error
    missing = sorted({path.name.split("_")[0] for path in MIGRATIONS.glob("*.sql")} - set(applied))
    if missing:
        raise SettingsError(
            f"the database of WAYBILL_DATABASE_URL lacks the migrations {', '.join(missing)}: run `waybill migrate`"
        )


def spare_the_collector() -> None:
    """Exempt what start-up has made from garbage collection; to be called once, when a process is ready.

    It is modules for the most part and stays until the end. Looking through it for garbage, again and again, would stop
    everything that the process does for some 50 ms each time.
    """
    gc.collect()
    gc.freeze()
