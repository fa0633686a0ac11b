"""Webhook receivers of every temper, and a sender in the test's own event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook, WebhookVerificationError

from consumers.delivery import Delivery
from consumers.inbox import handle_once
from consumers.outcome import Done
from consumers.registry import CONSUMERS
from consumers.webhooks import open_handler
from consumers.webhooks.handler import WebhookHandler
from consumers.webhooks.lookups import Lookups
from consumers.webhooks.reach import parse_reach
from schemas.events import EventType, shipment_event
from service.settings import Settings
from service.webhooks import NewEndpoint, add_endpoint
from service.wiring import open_pool
from tests.support.rows import TRACEPARENT, ShipmentRow, event_data, insert_event, insert_order, insert_shipment
from tests.support.waiting import until

WEBHOOKS = CONSUMERS["webhooks"]
LOOPBACK = ("127.0.0.0/8",)


@dataclass(frozen=True)
class Request:
    """A webhook that arrived. `verified`: the public library has checked its signature."""

    webhook_id: str
    headers: dict[str, str]
    body: bytes
    at: float
    verified: bool
    path: str = "/"


@dataclass
class Receiver:
    """A partner's server. It accepts only what verifies; `reply` may say otherwise: a status, an answer, or None."""

    url: str = ""
    # Until it is told the right one.
    secret: str = "whsec_AAAA"
    reply: Callable[[Request], Any] = lambda _request: None
    requests: list[Request] = field(default_factory=list)
    accepted: list[Request] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def ids(self) -> list[str]:
        """The ids of what was accepted, in the order of arrival."""
        return [request.webhook_id for request in self.accepted]

    async def wait_for(self, number: int, *, timeout: float = 20) -> list[Request]:  # noqa: ASYNC109 - a test's patience
        """Return all requests once `number` have arrived, accepted or not."""
        return await self._wait(self.requests, number, timeout)

    async def wait_for_accepted(self, number: int, *, timeout: float = 20) -> list[Request]:  # noqa: ASYNC109
        """Return what was accepted once it is `number`."""
        return await self._wait(self.accepted, number, timeout)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            body = await request.read()
            headers = {name.lower(): value for name, value in request.headers.items()}
            came = Request(
                headers.get("webhook-id", ""),
                headers,
                body,
                asyncio.get_running_loop().time(),
                verifies(self.secret, body, headers),
                request.path_qs,
            )
            await self._note(self.requests, came)
            answer = self.reply(came)
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer is None:
                answer = 204 if came.verified else 401
            if isinstance(answer, int):
                answer = web.Response(status=answer)
            if 200 <= answer.status <= 299:
                await self._note(self.accepted, came)
            return answer
        finally:
            self.running -= 1

    async def _note(self, where: list[Request], request: Request) -> None:
        async with self._changed:
            where.append(request)
            self._changed.notify_all()

    async def _wait(self, where: list[Request], number: int, timeout: float) -> list[Request]:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: len(where) >= number)
        except TimeoutError:
            raise AssertionError(f"{len(where)} of {number} webhooks after {timeout} s") from None
        return where


def verifies(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    """Say whether the public library accepts the signature."""
    try:
        Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError, RuntimeError):
        return False
    return True


@asynccontextmanager
async def receiving(*, ssl_context: Any = None) -> AsyncIterator[Receiver]:
    """Serve a receiver at a free port of 127.0.0.1."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        scheme = "https" if ssl_context else "http"
        receiver.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Silent:
    """Accepts connections and never says a word."""

    url: str = ""
    connections: int = 0


@asynccontextmanager
async def silence() -> AsyncIterator[Silent]:
    """Serve a silent receiver."""
    silent = Silent()
    writers = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.connections += 1
        writers.append(writer)
        await reader.read(-1)  # until the other side gives up

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    silent.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield silent
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


class FakeNames(AbstractResolver):
    """A name server in a test's hands: addresses by name, looked up anew each time; `asked` counts."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        if host not in self.addresses:
            raise OSError(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        pass


def hooked(settings: Settings, **update: Any) -> Settings:
    """Settings for receivers on this machine, looking for due webhooks all the time."""
    return settings.model_copy(
        update={"webhooks_allowed_networks": LOOPBACK, "webhooks_poll_s": 0.02, "webhooks_timeout_s": 5.0} | update
    )


async def add(pool: asyncpg.Pool, receiver: Receiver | Silent, **wanted: Any) -> str:
    """Add an endpoint as an operator does, let the receiver know its secret, and return the endpoint's id."""
    endpoint = await add_at(pool, receiver.url, **wanted)
    if isinstance(receiver, Receiver):
        receiver.secret = endpoint.secret
    return endpoint.id


async def add_at(pool: asyncpg.Pool, url: str, **wanted: Any) -> NewEndpoint:
    """Add an endpoint at an URL on this machine."""
    async with pool.acquire() as connection:
        return await add_endpoint(
            connection,
            **{"partner": "Acme", "event_types": [], "stores": []} | wanted,
            url=url,
            reach=parse_reach(LOOPBACK),
            resolver=Lookups(),
        )


@dataclass(frozen=True)
class Sending:
    """A running sender, and the handler that feeds it."""

    handler: WebhookHandler
    pool: asyncpg.Pool
    stop: asyncio.Event

    async def tell(self, shipment: ShipmentRow, *, kind: EventType = EventType.SHIPMENT_SHIPPED, **data: Any) -> UUID:
        """Commit an event and handle its message, as relay and runtime do; return its id."""
        async with self.pool.acquire() as connection:
            event_id = await insert_event(connection, shipment, kind=kind, in_outbox=False, **data)
        await handle(self.pool, self.handler, event_id, shipment, kind=kind)
        return event_id

    async def tell_many(self, number: int) -> list[UUID]:
        """Tell of as many new shipments."""
        return [await self.tell(shipment) for shipment in await insert_shipments(self.pool, number)]


async def handle(
    pool: asyncpg.Pool,
    handler: WebhookHandler,
    event_id: UUID,
    shipment: ShipmentRow,
    *,
    kind: EventType = EventType.SHIPMENT_SHIPPED,
) -> Done:
    """Handle a message about an event through the inbox."""
    delivery = Delivery(event_id, shipment_event(kind, event_data(shipment)), "req-1", TRACEPARENT, 1)
    return await handle_once(pool, consumer=WEBHOOKS.name, delivery=delivery, handler=handler)


@asynccontextmanager
async def sending(settings: Settings, *, resolver: AbstractResolver | None = None) -> AsyncIterator[Sending]:
    """Run a sender until the block ends, then stop it as a worker does. `resolver` replaces the name server."""
    async with (
        open_handler(settings) as opened,
        open_pool(settings, name="webhooks", size=4) as pool,
    ):
        assert isinstance(opened, WebhookHandler)
        handler = dataclasses.replace(opened, resolver=resolver) if resolver else opened
        stop = asyncio.Event()
        async with handler.beside(pool, stop):
            yield Sending(handler, pool, stop)


async def insert_shipments(pool: asyncpg.Pool, number: int = 1, *, store: str = "se-web") -> list[ShipmentRow]:
    """Insert shipped shipments of new orders."""
    async with pool.acquire() as connection:
        first = await connection.fetchval("SELECT count(*) FROM orders")
        return [
            await insert_shipment(
                connection, await insert_order(connection, f"{100001 + first + n}", store=store), status="SHIPPED"
            )
            for n in range(number)
        ]


async def travel(pool: asyncpg.Pool, seconds: float, *, leases: bool = False) -> None:
    """Let that much time pass for everything that waits for a time.

    What is being sent is waited for, unless `leases` are to run out too.
    """

    async def nothing_is_leased() -> bool:
        return not await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE leased_until > now()")

    if not leases:
        await until(nothing_is_leased)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE webhook_deliveries SET due_at = due_at - $1 * interval '1 s',"
            " leased_until = leased_until - $1 * interval '1 s', created_at = created_at - $1 * interval '1 s',"
            " settled_at = settled_at - $1 * interval '1 s'",
            seconds,
        )
        await connection.execute(
            "UPDATE webhook_endpoints SET failing_since = failing_since - $1 * interval '1 s',"
            " not_before = not_before - $1 * interval '1 s',"
            " previous_secret_until = previous_secret_until - $1 * interval '1 s'",
            seconds,
        )


async def statuses(pool: asyncpg.Pool) -> Counter[str]:
    return Counter(row["status"] for row in await pool.fetch("SELECT status FROM webhook_deliveries"))


async def settled(pool: asyncpg.Pool, **expected: int) -> None:
    """Return once the deliveries have these statuses."""

    async def reached() -> bool:
        return await statuses(pool) == Counter(expected)

    await until(reached)


async def attempted(pool: asyncpg.Pool, number: int) -> None:
    """Return once as many attempts are written down."""

    async def reached() -> bool:
        return bool(await pool.fetchval("SELECT count(*) = $1 FROM webhook_attempts", number))

    await until(reached)
