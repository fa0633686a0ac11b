"""The inbox: a message's effect and the note that it happened are committed together, so that it happens once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import asyncpg

import sql
from consumers.delivery import Delivery, Event
from consumers.outcome import DatabaseAway, Done, Rejected, Skipped, TryLater

# Strings, because asyncpg's classes are generic for the type checker only.
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

PROBE_TIMEOUT_S: Final = 5.0
RELEASE_TIMEOUT_S: Final = 5.0

ALREADY_HANDLED: Final = Skipped("already handled")

# The last one is what a statement meets that the server's farewell has overtaken.
_UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

# SQLSTATE classes and codes that say something about the server, not about the statement.
_AWAY: Final = (
    asyncpg.PostgresConnectionError,  # 08
    asyncpg.InsufficientResourcesError,  # 53: connections, memory, disk
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,  # we still talk to what has become a standby
    asyncpg.InternalClientError,
)


class Handler(Protocol[Event]):
    """What one consumer does with an event, inside the transaction that its inbox row belongs to.

    Returns `Handled` or `Skipped`, whose inbox row is kept. Raises `Rejected` (never again), `TryLater`, or anything
    else, which counts as `TryLater`. Neither begins nor commits; a time-out of somebody it calls is its own to
    translate.
    """

    async def __call__(self, connection: Connection, delivery: Delivery[Event]) -> Done:
        """Handle `delivery`."""
        ...


async def handle_once(pool: Pool, *, consumer: str, delivery: Delivery[Event], handler: Handler[Event]) -> Done:
    """Run `handler` for a message that `consumer` has not handled yet, and commit both. Raises `DatabaseAway` too."""
    async with _connection(pool) as connection, _translated(connection), connection.transaction():
        if not await _claim(connection, consumer, delivery.event_id):
            return ALREADY_HANDLED
        return await handler(connection, delivery)


async def handle_together(
    pool: Pool, *, consumer: str, deliveries: Sequence[Delivery[Event]], handler: Handler[Event]
) -> list[Done]:
    """Run `handler` for several messages, one after the other, and commit all of it: what became of each, in order.

    Raises whatever the handler or the database raises; then nothing has happened, unless it was the commit that failed.
    """
    async with _connection(pool) as connection, connection.transaction():
        ids = [delivery.event_id for delivery in deliveries]
        claiming = sql.queries("inbox").claim_together(connection, consumer=consumer, message_ids=ids)
        claimed = {row["message_id"] async for row in claiming}
        done: list[Done] = []
        for delivery in deliveries:
            if delivery.event_id in claimed:
                # The same message may be here twice.
                claimed.remove(delivery.event_id)
                done.append(await handler(connection, delivery))
            else:
                done.append(ALREADY_HANDLED)
        await sql.queries("inbox").can_commit(connection)
        return done


async def database_answers(pool: Pool) -> bool:
    """Say whether the database takes writes right now; within `PROBE_TIMEOUT_S` seconds."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), pool.acquire() as connection:
            return bool(await sql.queries("inbox").takes_writes(connection))
    except _UNREACHABLE:
        return False


async def _claim(connection: Connection, consumer: str, message_id: UUID) -> bool:
    try:
        return bool(await sql.queries("inbox").claim(connection, consumer=consumer, message_id=message_id))
    except asyncpg.LockNotAvailableError:
        raise TryLater("the same message is being handled elsewhere") from None


@asynccontextmanager
async def _connection(pool: Pool) -> AsyncIterator[Connection]:
    # There is a connection for every message in work, so that only an unreachable database makes one wait in vain.
    try:
        connection = await pool.acquire()
    except _UNREACHABLE as error:
        raise DatabaseAway(f"no connection: {type(error).__name__}") from error
    try:
        yield connection
    finally:
        # By now the work is committed or rolled back, whatever the release meets; it closes what it cannot clean up.
        with suppress(*_UNREACHABLE):
            await pool.release(connection, timeout=RELEASE_TIMEOUT_S)


@asynccontextmanager
async def _translated(connection: Connection) -> AsyncIterator[None]:
    try:
        yield
    except (Rejected, TryLater):
        raise
    except Exception as error:
        if isinstance(error, _AWAY) or _is_lost(connection):
            raise DatabaseAway(f"connection lost: {type(error).__name__}") from error
        raise


def _is_lost(connection: Any) -> bool:  # noqa: ANN401 - the proxy answers is_closed() without declaring it
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # The pool has taken the connection back, which it does by itself when one is lost.
        return True
