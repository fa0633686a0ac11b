from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from publishers import outbox
from publishers.outbox import NewEvent
from schemas.events import EventType, shipment_event
from tests.support import rows


@pytest.fixture
async def shipment(pool: asyncpg.Pool[asyncpg.Record]) -> rows.ShipmentRow:
    async with pool.acquire() as connection:
        return await rows.insert_shipment(connection, await rows.insert_order(connection))


async def append(connection: Any, shipment: rows.ShipmentRow, sequence: int) -> UUID:
    event = NewEvent(
        kind=EventType.SHIPMENT_SHIPPED,
        shipment_id=shipment.id,
        data=rows.event_data(shipment, sequence=sequence),
        request_id="req-7",
        traceparent=rows.TRACEPARENT,
    )
    await outbox.append(connection, [event])
    return event.id


async def test_history_and_outbox_hold_the_event(
    pool: asyncpg.Pool[asyncpg.Record], shipment: rows.ShipmentRow
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        event_id = await append(connection, shipment, 3)
    event = await pool.fetchrow("SELECT * FROM events")
    assert event is not None
    assert (event["id"], event["shipment_id"], event["sequence"]) == (event_id, shipment.id, 3)
    assert (event["type"], event["subject"]) == ("order-shipment-shipped", "100001-1")
    assert (event["request_id"], event["traceparent"]) == ("req-7", rows.TRACEPARENT)
    expected = shipment_event(EventType.SHIPMENT_SHIPPED, rows.event_data(shipment, sequence=3))
    assert json.loads(event["body"]) == expected.model_dump(mode="json", by_alias=True)
    row = await pool.fetchrow("SELECT * FROM outbox")
    assert row is not None
    assert (row["event_id"], row["target"], row["attempts"], row["last_error"]) == (event_id, None, 0, None)


async def test_nothing_stays_of_a_transaction_that_is_rolled_back(
    pool: asyncpg.Pool[asyncpg.Record], shipment: rows.ShipmentRow
) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, shipment, 1)
        assert connection.is_in_transaction(), "the caller's transaction is the caller's to end"
        await transaction.rollback()
    assert await pool.fetchval("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM outbox)") == 0


async def test_a_sequence_number_is_used_once(pool: asyncpg.Pool[asyncpg.Record], shipment: rows.ShipmentRow) -> None:
    async with pool.acquire() as connection:
        await append(connection, shipment, 1)
        with pytest.raises(asyncpg.UniqueViolationError):
            await append(connection, shipment, 1)
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_event_ids_grow_with_time(pool: asyncpg.Pool[asyncpg.Record], shipment: rows.ShipmentRow) -> None:
    async with pool.acquire() as connection:
        first = await append(connection, shipment, 1)
        # The id's clock ticks in milliseconds; two commits lie further apart than the server's clock can hide.
        await connection.execute("SELECT pg_sleep(0.002)")
        second = await append(connection, shipment, 2)
    assert first.version == second.version == 7
    assert first.variant == "specified in RFC 4122"
    assert first < second
