"""The whole system as processes of its own, with a proxy on every hop, a subscriber, and the ledgers afterwards."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from consumers.registry import CONSUMERS
from service.keys import Scope, create_key
from service.settings import Settings
from tests.faults.books import told_by
from tests.faults.launching import Launcher
from tests.faults.ledgers import Call, Ledgers
from tests.faults.orders import insert_orders
from tests.faults.reading import Depth, read_database, unsettled
from tests.faults.subscriber import Subscriber, subscribe
from tests.support.api import COMPLETE
from tests.support.processes import Processes, free_port
from tests.support.proxy import Proxy, open_proxy
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import until

HOPS = ("database", "broker", "smtp", "provider")
# Short deadlines, so that a fault is over soon; in the order that the settings demand.
SHORT_DEADLINES: dict[str, Any] = {
    "database_acquire_timeout_s": 2,
    "lock_timeout_s": 4,
    "capture_timeout_s": 2,
    "idle_in_transaction_timeout_s": 4,
    "shutdown_timeout_s": 6,
    "publish_timeout_s": 3,
    "smtp_timeout_s": 3,
    # Every second, for as long as any fault lasts.
    "worker_retry_delays_s": (1,) * 60,
}


@dataclass(kw_only=True)
class Stack(Launcher):
    """The running system. `settings` are its processes', through the proxies; `pool` goes around them."""

    pool: asyncpg.Pool[asyncpg.Record]
    smtp: SmtpSink
    subscriber: Subscriber
    hops: dict[str, Proxy]
    session: aiohttp.ClientSession
    authorization: str
    calls: list[Call] = field(default_factory=list)
    _ordered: int = 0
    _turn: int = 0

    async def order(self, count: int = 1, *, authorization: str = "sandbox:ok", parts: int = 1) -> list[str]:
        """Insert orders of `parts` RELEASED shipments each; return the shipments' numbers.

        Each order's authorization is made unique by its number.
        """
        first, self._ordered = self._ordered + 1, self._ordered + count
        return await insert_orders(self.pool, first=first, count=count, authorization=authorization, parts=parts)

    async def complete(self, number: str, *, timeout_s: float = 30, url: str | None = None) -> Call:
        """Call complete-shipment at one of the API processes, or at `url`; note what the caller was told."""
        if url is None:
            ports = sorted(self.apis)
            self._turn += 1
            url = f"http://127.0.0.1:{ports[self._turn % len(ports)]}"
        body = {"shipmentNumber": number, "carrierTrackingNumber": f"TN-{number}"}
        headers = {"API-Authorization": self.authorization}
        status: int | None = None
        started, began = time.time(), time.monotonic()
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self.session.post(
                url + COMPLETE, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s)
            ) as response:
                await response.read()
                status = response.status
        call = Call(number, told_by(status), status, time.monotonic() - began, started)
        self.calls.append(call)
        return call

    async def settle(self, *, timeout_s: float = 60) -> bool:
        """Wait until everything has gone everywhere; return whether it has. The checker finds what is missing."""
        try:
            await until(self._settled, timeout=timeout_s)
        except TimeoutError:
            return False
        return True

    async def _settled(self) -> bool:
        if await unsettled(self.pool):
            return False
        if len(self.subscriber.ids) < await self.pool.fetchval("SELECT count(*) FROM events"):
            return False
        return not (await self.depth()).waiting

    async def depth(self) -> Depth:
        """Return how many messages wait for the mail worker, and how many are dead."""
        return await self.subscriber.depth(CONSUMERS["email"].topology(self.settings.worker_retry_delays_s))

    async def ledger(self) -> list[dict[str, Any]]:
        """Return what the provider lists, asked directly."""
        async with self.session.get(f"http://127.0.0.1:{self.provider_port}/ledger") as response:
            response.raise_for_status()
            entries: list[dict[str, Any]] = await response.json()
            return entries

    async def ledgers(self) -> Ledgers:
        """Read all ledgers as they are now."""
        dead = (await self.depth()).dead
        return await read_database(
            self.pool,
            calls=self.calls,
            provider=await self.ledger(),
            received=self.subscriber.received,
            mails=self.smtp.messages,
            dead_letters=dead,
        )


@asynccontextmanager
async def open_stack(
    processes: Processes,
    settings: Settings,
    *,
    pool: asyncpg.Pool[asyncpg.Record],
    smtp: SmtpSink,
    folder: Path,
    apis: int = 1,
    relays: int = 1,
    workers: int = 1,
    proxied: Collection[str] = HOPS,
    **changes: Any,
) -> AsyncIterator[Stack]:
    """Start everything and wait until it is ready.

    `settings` name the real database and broker; `changes` are further settings of the processes. Hops that are not
    `proxied` are direct. At the end the processes are killed: by then nobody minds, and an orderly end takes long
    without the proxies.
    """
    async with AsyncExitStack() as stack:
        provider_port = free_port()
        urls = {
            "database": URL(settings.database_url),
            "broker": URL(settings.amqp_url),
            "smtp": URL(smtp.url),
            "provider": URL(f"http://127.0.0.1:{provider_port}"),
        }
        hops = {
            name: await stack.enter_async_context(open_proxy(urls[name].host or "", urls[name].port or 0))
            for name in HOPS
            if name in proxied
        }
        through = {
            name: str(url.with_host("127.0.0.1").with_port(hops[name].port)) if name in hops else str(url)
            for name, url in urls.items()
        }
        running = Stack(
            settings=Settings(
                **{
                    **SHORT_DEADLINES,
                    "database_url": through["database"],
                    "amqp_url": through["broker"],
                    "smtp_url": through["smtp"].rstrip("/"),
                    "payment_url": through["provider"].rstrip("/"),
                    **changes,
                }
            ),
            pool=pool,
            processes=processes,
            smtp=smtp,
            subscriber=await stack.enter_async_context(subscribe(settings.amqp_url)),
            hops=hops,
            session=await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))),
            provider_port=provider_port,
            provider_folder=folder / "provider",
            authorization=await _new_key(pool),
        )
        stack.callback(running.kill_all)
        await running.start_provider()
        for start, number in (
            (running.start_api, apis),
            (running.start_relay, relays),
            (running.start_worker, workers),
        ):
            # One after the other: an old broker may fail a quorum queue that is made twice at once.
            for _ in range(number):
                await start()
        yield running


async def _new_key(pool: asyncpg.Pool[asyncpg.Record]) -> str:
    async with pool.acquire() as connection:
        return (await create_key(connection, partner="faults", scopes=[Scope.COMPLETE_SHIPMENTS])).secret
