"""What a request handler works with, opened once per API process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from aiohttp import web

from publishers.wakeup import RelayWakeup
from service.bulk_completions import BulkCompletions
from service.completions import Completions
from service.payments.provider import PaymentProvider
from service.payments.registry import open_providers
from service.settings import Settings
from service.turns import Turns
from service.wiring import PooledConnection, borrow_connection, check_migrated, open_pool
from sql import queries


@dataclass(frozen=True, slots=True)
class Services:
    """Resources and settings of one API process.

    `pool` is for what takes as long as its statements take. What may wait for a payment provider or for a lock has
    connections of its own, `payment_pool`, so that it keeps nobody else waiting.
    """

    settings: Settings
    pool: asyncpg.Pool[asyncpg.Record]
    payment_pool: asyncpg.Pool[asyncpg.Record]
    providers: Mapping[str, PaymentProvider]
    wakeup: RelayWakeup
    completions: Completions
    bulk_completions: BulkCompletions
    turns: Turns

    def connection(self) -> AbstractAsyncContextManager[PooledConnection]:
        """Borrow a connection. Raises `TemporarilyUnavailable` when none can be had in time."""
        return borrow_connection(self.pool, timeout_s=self.settings.database_acquire_timeout_s)

    def payment_connection(self) -> AbstractAsyncContextManager[PooledConnection]:
        """Borrow a connection for what may wait long. Raises `TemporarilyUnavailable` when none can be had in time."""
        return borrow_connection(self.payment_pool, timeout_s=self.settings.database_acquire_timeout_s)

    @asynccontextmanager
    async def turn(
        self, name: str, *, order_number: str, shipment_number: str | None = None, captures: bool = False
    ) -> AsyncIterator[PooledConnection]:
        """Wait for the turn of `name` within this process, then borrow a connection to work on the order with.

        `captures`: the work may ask a payment provider, for the shipment or (None) a new one. Raises `TimeoutError`, or
        `TemporarilyUnavailable`.
        """
        async with self.turns.hold(name, timeout_s=self.settings.lock_timeout_s):
            async with self.connection() as connection:
                if not await queries("shipping").may_wait(
                    connection, order_number=order_number, shipment_number=shipment_number, captures=captures
                ):
                    yield connection
                    return
            async with self.payment_connection() as connection:
                yield connection


SERVICES = web.AppKey("services", Services)


@asynccontextmanager
async def open_services(settings: Settings, *, name: str) -> AsyncIterator[Services]:
    """Open everything a request handler needs; close it in reverse order."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings, name=name))
        payment_pool = await stack.enter_async_context(
            open_pool(settings, name=f"{name} payments", size=settings.payment_pool_size)
        )
        await check_migrated(pool)
        providers = await stack.enter_async_context(open_providers(settings))
        wakeup = RelayWakeup()
        turns = Turns()
        completions = Completions(settings, pool=pool, payment_pool=payment_pool, providers=providers, wakeup=wakeup)
        stack.push_async_callback(completions.close)
        yield Services(
            settings=settings,
            pool=pool,
            payment_pool=payment_pool,
            providers=providers,
            wakeup=wakeup,
            completions=completions,
            bulk_completions=BulkCompletions(
                settings, payment_pool=payment_pool, completions=completions, turns=turns, wakeup=wakeup
            ),
            turns=turns,
        )
