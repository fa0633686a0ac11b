"""The API as production serves it, in the test's own event loop, and a caller with a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from schemas.paths import SHIPMENTS_BASE
from service.http.app import build_app
from service.keys import NewKey, Scope, create_key
from service.settings import Settings

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

COMPLETE = f"{SHIPMENTS_BASE}/complete-shipment"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Api:
    """A running API and a client that presents `key`."""

    url: str
    key: NewKey
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **arguments: Any) -> Answer:
        """Send a request as the key's owner, unless `headers` says otherwise."""
        arguments.setdefault("headers", {"Authorization": aiohttp.encode_basic_auth(self.key.id, self.key.secret)})
        async with self.session.request(method, self.url + path, **arguments) as response:
            body = await (response.json() if response.content_type == "application/json" else response.text())
            return Answer(response.status, body, response.headers)

    async def complete(self, shipment_number: str, tracking_number: str | None = None) -> Answer:
        body = {"shipmentNumber": shipment_number}
        if tracking_number is not None:
            body["carrierTrackingNumber"] = tracking_number
        return await self.call("POST", COMPLETE, json=body)


@asynccontextmanager
async def serve_api(settings: Settings, pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[Api]:
    """Serve the application, with production's answer to clients that hang up."""
    runner = web.AppRunner(build_app(settings), handler_cancellation=False, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        key = await create_key(pool, partner="tests", scopes=list(Scope))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield Api(f"http://{host}:{port}", key, session)
    finally:
        await runner.cleanup()


@pytest.fixture
async def api_settings(database_settings: Settings, sandbox: Sandbox) -> Settings:
    """Settings of an API that captures at the test's sandbox provider."""
    return Settings(database_url=database_settings.database_url, payment_url=sandbox.url)


@pytest.fixture
async def api(api_settings: Settings, pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[Api]:
    async with serve_api(api_settings, pool) as running:
        yield running
