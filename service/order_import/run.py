"""Take the records of a file in: several at a time, results in the file's sequence."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import asyncpg
from pydantic import ValidationError

from schemas.orders import IntakeOrder
from schemas.problems import problems_of
from service.order_import.records import Record
from service.shipping.errors import WaybillError
from service.shipping.intake import intake_order
from sql import Connection

Outcome = Literal["created", "updated", "unchanged", "rejected"]

# How many orders are read ahead of the oldest one that is still being taken in, per job.
_AHEAD = 4

# Nothing to do with the order: the next one would fail as well.
_DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
)
_BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class ImportStopped(Exception):
    """The database went away; what was told until then is done."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record."""

    lines: str
    order_number: str | None
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    shipments: tuple[str, ...] = ()


async def import_records(
    pool: asyncpg.Pool[asyncpg.Record],
    records: Iterable[Record],
    *,
    jobs: int,
    dry_run: bool,
    tell: Callable[[Result], None],
) -> None:
    """Take every record in, each in its own transaction and up to `jobs` at once, and `tell` each result.

    A dry run does the same and rolls each transaction back. Raises `ImportStopped`.
    """
    trace_id, request_id = secrets.token_hex(16), f"import-{secrets.token_hex(8)}"
    # Each order's turn is a connection, kept: giving it back to the pool after each would cost a round trip more.
    turns: asyncio.Queue[Connection] = asyncio.Queue()
    running: deque[asyncio.Task[Result]] = deque()

    async def take(record: Record) -> Result:
        connection = await turns.get()
        try:
            traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
            async with _rolled_back(connection) if dry_run else nullcontext():
                return await _take(connection, record, request_id=request_id, traceparent=traceparent)
        except _DATABASE_AWAY as error:
            raise ImportStopped(repr(error)) from error
        finally:
            turns.put_nowait(connection)

    async with AsyncExitStack() as stack:
        try:
            for _ in range(jobs):
                turns.put_nowait(await stack.enter_async_context(pool.acquire()))
        except _DATABASE_AWAY as error:
            raise ImportStopped(repr(error)) from error
        try:
            for record in records:
                running.append(asyncio.create_task(take(record)))
                if len(running) >= jobs * _AHEAD:
                    tell(await running.popleft())
            while running:
                tell(await running.popleft())
        finally:
            # None left behind when this one ends early: what is not committed by then is rolled back.
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _take(connection: Connection, record: Record, *, request_id: str, traceparent: str) -> Result:
    def rejected(*reasons: str) -> Result:
        return Result(record.lines, record.order_number, "rejected", reasons)

    if record.problem is not None:
        return rejected(record.problem)
    try:
        order = IntakeOrder.model_validate(record.document)
        result = await intake_order(connection, order, request_id=request_id, traceparent=traceparent)
    except ValidationError as error:
        return rejected(*problems_of(error, record.note))
    except WaybillError as error:
        return rejected(str(error))
    except _BUSY:
        return rejected("another process is working on this order; import it again")
    except asyncpg.IntegrityConstraintViolationError as error:
        return rejected(f"the database refused it ({error.constraint_name})")
    return Result(record.lines, result.order_number, result.outcome, shipments=result.shipments)


@asynccontextmanager
async def _rolled_back(connection: Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
