"""Which deliveries an event makes, and that it makes them once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from consumers.outcome import Handled, Rejected, Skipped
from consumers.webhooks import open_handler
from consumers.webhooks.handler import WebhookHandler
from schemas.events import EventType
from service.settings import Settings
from service.webhooks import disable_endpoint
from tests.support.rows import ShipmentRow, insert_event
from tests.support.webhooks import add_at, handle, hooked, insert_shipments

Pool = asyncpg.Pool
URL = "http://127.0.0.1:1/hook"
SHIPPED, CANCELLED = EventType.SHIPMENT_SHIPPED, EventType.SHIPMENT_CANCELLED


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings without a broker, which nothing here needs."""
    return Settings(database_url=database_url)


@pytest.fixture
async def handler(settings: Settings) -> AsyncIterator[WebhookHandler]:
    async with open_handler(hooked(settings)) as opened:
        assert isinstance(opened, WebhookHandler)
        yield opened


async def add(pool: Pool, **wanted: Any) -> str:
    return (await add_at(pool, URL, **wanted)).id


async def told(pool: Pool, shipment: ShipmentRow, kind: EventType = SHIPPED) -> Any:
    async with pool.acquire() as connection:
        return await insert_event(connection, shipment, kind=kind, in_outbox=False)


async def wanted_by(pool: Pool, event_id: Any) -> set[str]:
    rows = await pool.fetch("SELECT endpoint_id FROM webhook_deliveries WHERE event_id = $1", event_id)
    return {row["endpoint_id"] for row in rows}


async def test_an_event_goes_to_each_endpoint_that_wants_it(pool: Pool, handler: WebhookHandler) -> None:
    [swedish] = await insert_shipments(pool, store="se-web")
    [danish] = await insert_shipments(pool, store="dk-web")
    everything = await add(pool)
    same_partner = await add(pool)
    cancelled = await add(pool, event_types=[CANCELLED])
    both_types = await add(pool, event_types=[CANCELLED, SHIPPED])
    danes = await add(pool, stores=["dk-web"])
    nordic = await add(pool, stores=["dk-web", "se-web"], event_types=[SHIPPED])
    expected = [
        (swedish, SHIPPED, {everything, same_partner, both_types, nordic}),
        (swedish, CANCELLED, {everything, same_partner, both_types, cancelled}),
        (danish, SHIPPED, {everything, same_partner, both_types, danes, nordic}),
        (danish, CANCELLED, {everything, same_partner, both_types, cancelled, danes}),
    ]
    for shipment, kind, endpoints in expected:
        event_id = await told(pool, shipment, kind)
        assert await handle(pool, handler, event_id, shipment, kind=kind) == Handled()
        assert await wanted_by(pool, event_id) == endpoints


async def test_a_message_that_comes_twice_makes_no_second_delivery(pool: Pool, handler: WebhookHandler) -> None:
    [shipment] = await insert_shipments(pool)
    endpoint = await add(pool)
    event_id = await told(pool, shipment)
    assert await handle(pool, handler, event_id, shipment) == Handled()
    assert await handle(pool, handler, event_id, shipment) == Skipped("already handled")
    # Not even if the inbox has been emptied since; but an endpoint that came later gets it then.
    await pool.execute("DELETE FROM inbox")
    assert await handle(pool, handler, event_id, shipment) == Skipped("no endpoint wants it")
    await pool.execute("DELETE FROM inbox")
    later = await add(pool)
    assert await handle(pool, handler, event_id, shipment) == Handled()
    assert await wanted_by(pool, event_id) == {endpoint, later}
    assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 2


async def test_a_disabled_endpoints_events_are_kept_for_it(pool: Pool, handler: WebhookHandler) -> None:
    [shipment] = await insert_shipments(pool)
    endpoint = await add(pool)
    async with pool.acquire() as connection:
        await disable_endpoint(connection, endpoint, reason="moving")
    event_id = await told(pool, shipment)
    assert await handle(pool, handler, event_id, shipment) == Handled()
    assert await wanted_by(pool, event_id) == {endpoint}


async def test_an_event_that_nobody_wants_is_done(pool: Pool, handler: WebhookHandler) -> None:
    [shipment] = await insert_shipments(pool)
    await add(pool, event_types=[CANCELLED])
    await add(pool, stores=["elsewhere"])
    event_id = await told(pool, shipment)
    assert await handle(pool, handler, event_id, shipment) == Skipped("no endpoint wants it")
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 1


async def test_an_event_that_is_not_in_the_history_is_rejected(pool: Pool, handler: WebhookHandler) -> None:
    [shipment] = await insert_shipments(pool)
    await add(pool)
    with pytest.raises(Rejected, match="not in the history"):
        await handle(pool, handler, uuid4(), shipment)
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 0


async def test_endpoints_do_not_wait_for_the_fan_out(pool: Pool, handler: WebhookHandler) -> None:
    """An endpoint is disabled, rotated and recorded on while a fan-out to it has not committed."""
    [shipment] = await insert_shipments(pool)
    endpoint = await add(pool)
    event_id = await told(pool, shipment)
    async with pool.acquire() as fanning_out, pool.acquire() as other, fanning_out.transaction():
        await fanning_out.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, event_id) VALUES ($1, $2)", endpoint, event_id
        )
        await other.execute("SET lock_timeout = '2s'")
        assert await disable_endpoint(other, endpoint, reason="meanwhile") == "meanwhile"
