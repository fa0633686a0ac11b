from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from service import retention
from service.retention import Cleared, clear_away
from service.settings import Settings
from tests.support.cli import make_cli
from tests.support.rows import ShipmentRow, insert_order, insert_shipment

Pool = asyncpg.Pool
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAYS = 100
NOTHING = Cleared(events=0, inbox=0, emails=0, webhook_deliveries=0)


@pytest.fixture
async def shipment(pool: Pool) -> ShipmentRow:
    return await insert_shipment(pool, await insert_order(pool), status="SHIPPED")


async def clear(pool: Pool) -> Cleared:
    async with pool.acquire() as connection:
        return await clear_away(connection, history_days=DAYS, webhooks_days=10, now=NOW)


async def insert_event(pool: Pool, shipment: ShipmentRow, *, days: float, in_outbox: bool = False) -> UUID:
    """Insert an event that is so many days old."""
    moment = NOW - timedelta(days=days)
    event_id = UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | uuid4().int >> 56)
    await pool.execute(
        "INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent, occurred_at)"
        " SELECT $1, $2, coalesce(max(sequence), 0) + 1, 'order-shipment-shipped', $3, '{}', 'r', 't', $4"
        " FROM events WHERE shipment_id = $2",
        event_id,
        shipment.id,
        shipment.number,
        moment,
    )
    if in_outbox:
        await pool.execute("INSERT INTO outbox (event_id) VALUES ($1)", event_id)
    return event_id


async def insert_handled(pool: Pool, shipment: ShipmentRow, event_id: UUID, *, days: float) -> None:
    moment = NOW - timedelta(days=days)
    await pool.execute("INSERT INTO inbox VALUES ('mail', $1, $2)", event_id, moment)
    await pool.execute(
        "INSERT INTO emails (event_id, shipment_id, message_id, recipient, locale, subject, sent_at)"
        " VALUES ($1, $2, $3, 'a@example.com', 'en', 's', $4)",
        event_id,
        shipment.id,
        f"<{event_id}@x>",
        moment,
    )


async def insert_delivery(pool: Pool, event_id: UUID, *, days: float, status: str) -> None:
    moment = NOW - timedelta(days=days)
    await pool.execute(
        "INSERT INTO webhook_deliveries (endpoint_id, event_id, status, created_at, settled_at)"
        " VALUES ('whe_0123456789ab', $1, $2, $3, $4)",
        event_id,
        status,
        moment,
        None if status == "PENDING" else moment,
    )


async def insert_endpoint(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO webhook_endpoints (id, partner, url, secret)"
        " VALUES ('whe_0123456789ab', 'partner', 'https://example.com/', $1)",
        b"s" * 32,
    )


async def left(pool: Pool, table: str, column: str = "event_id") -> set[UUID]:
    return {row[column] for row in await pool.fetch(f"SELECT {column} FROM {table}")}


async def test_what_is_older_goes_and_what_is_younger_stays(pool: Pool, shipment: ShipmentRow) -> None:
    for days in (101, 150, 900):
        await insert_handled(pool, shipment, await insert_event(pool, shipment, days=days), days=days)
    young = {await insert_event(pool, shipment, days=days) for days in (0, 99)}
    for event_id in young:
        await insert_handled(pool, shipment, event_id, days=99)
    assert await clear(pool) == Cleared(events=3, inbox=3, emails=3, webhook_deliveries=0)
    assert await left(pool, "events", "id") == young
    assert await left(pool, "inbox", "message_id") == young
    assert await left(pool, "emails") == young
    assert await clear(pool) == NOTHING


async def test_several_batches_leave_nothing_behind(
    pool: Pool, shipment: ShipmentRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    kept = await insert_event(pool, shipment, days=300, in_outbox=True)
    for _ in range(5):
        # All at one moment: the place in the index alone does not tell them apart.
        await insert_handled(pool, shipment, await insert_event(pool, shipment, days=200), days=200)
    assert await clear(pool) == Cleared(events=5, inbox=5, emails=5, webhook_deliveries=0)
    assert await left(pool, "events", "id") == {kept}


async def test_what_is_still_to_be_published_or_sent_stays(pool: Pool, shipment: ShipmentRow) -> None:
    await insert_endpoint(pool)
    in_outbox = await insert_event(pool, shipment, days=500, in_outbox=True)
    to_be_sent = await insert_event(pool, shipment, days=500)
    await insert_delivery(pool, to_be_sent, days=500, status="PENDING")
    delivered, failed = [await insert_event(pool, shipment, days=50) for _ in range(2)]
    await insert_delivery(pool, delivered, days=50, status="DELIVERED")
    await insert_delivery(pool, failed, days=9, status="FAILED")
    assert await clear(pool) == Cleared(events=0, inbox=0, emails=0, webhook_deliveries=1)
    assert await left(pool, "events", "id") == {in_outbox, to_be_sent, delivered, failed}
    assert await left(pool, "webhook_deliveries") == {to_be_sent, failed}


async def test_what_is_put_down_to_be_sent_meanwhile_stays(pool: Pool, shipment: ShipmentRow) -> None:
    await insert_endpoint(pool)
    event_id = await insert_event(pool, shipment, days=500)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, event_id) SELECT id, $1 FROM webhook_endpoints", event_id
        )
        assert (await clear(pool)).events == 0
    assert (await clear(pool)).events == 0
    assert await left(pool, "webhook_deliveries") == {event_id}


async def test_a_full_outbox_keeps_the_events(
    pool: Pool, shipment: ShipmentRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LARGEST_OUTBOX", 0)
    old = await insert_event(pool, shipment, days=500)
    await insert_event(pool, shipment, days=0, in_outbox=True)
    assert (await clear(pool)).events is None
    assert old in await left(pool, "events", "id")


async def test_two_at_once_do_it_once(pool: Pool, shipment: ShipmentRow) -> None:
    for _ in range(50):
        await insert_handled(pool, shipment, await insert_event(pool, shipment, days=200), days=200)
    one, other = await asyncio.gather(clear(pool), clear(pool))
    assert (one.events or 0) + (other.events or 0) == 50
    assert one.inbox + other.inbox == one.emails + other.emails == 50


def test_the_command_says_what_it_deleted(
    database_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = make_cli(monkeypatch, capsys, database_settings.database_url)("maintain")
    assert ran.code == 0
    assert '"event": "history_cleared"' in ran.out
    assert '"events": 0' in ran.out
