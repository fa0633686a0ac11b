"""The benchmark's limit does to the database what a completion does, or its ratio would mean nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from bench.data import Database, Numbers
from bench.measure.pgbench import run_pgbench
from service.shipping.complete_shipment import complete_shipment
from service.shipping.departure import Departure, Parcel
from sql import Connection

TRACKING = "1Z999AA10123456784"


@pytest.fixture
def database(database_url) -> Database:
    return Database(database_url)


async def contents(connection: Connection, number: int) -> dict[str, Any]:
    """Return what each table holds of one order, without what differs from one completion to the next."""
    told = {}
    for table, condition in {
        "orders": "id = $1",
        "order_lines": "order_id = $1",
        "shipments": "order_id = $1",
        "shipment_lines": "shipment_id = $1",
        "captures": "order_id = $1",
        "parcels": "shipment_id = $1",
        "events": "shipment_id = $1",
        "outbox": "event_id IN (SELECT id FROM events WHERE shipment_id = $1)",
    }.items():
        rows = await connection.fetch(f"SELECT * FROM {table} t WHERE {condition} ORDER BY t::text", number)
        told[table] = [
            {
                name: str(value).replace(str(number), "N")
                for name, value in row.items()
                if name not in {"id", "seq", "event_id", "order_line_id", "request_id", "traceparent", "body"}
                and not name.endswith("_at")
            }
            | ({"length": round(len(row["body"]), -2)} if "body" in row else {})
            for row in rows
        ]
    return told


@pytest.mark.parametrize("pipelined", [False, True])
async def test_the_limit_writes_what_a_completion_writes(database, pool, tmp_path, pipelined):
    ours = await asyncio.to_thread(database.add_released, 1, captured=True)
    theirs = await asyncio.to_thread(database.add_released, 20_000, captured=True)
    async with pool.acquire() as connection:
        await complete(connection, ours)
        result = await asyncio.to_thread(
            run_pgbench,
            database.url,
            tmp_path,
            clients=2,
            seconds=1,
            first=theirs.first,
            per_client=theirs.count // 2,
            pipelined=pipelined,
        )
        completed = await contents(connection, ours.first)
        assert completed == await contents(connection, theirs.first)
        assert {table: len(rows) for table, rows in completed.items()} == {
            "orders": 1, "order_lines": 2, "shipments": 1, "shipment_lines": 2, "captures": 1, "parcels": 1,
            "events": 1, "outbox": 1,
        }  # fmt: skip
    shipped = await asyncio.to_thread(database.look, "shipped", first=theirs.first, last=theirs.last)
    assert shipped == result.transactions > 0


async def test_what_is_loaded_is_as_the_schema_keeps_it(database, pool):
    numbers = await asyncio.to_thread(database.add_shipped, 3)
    await asyncio.to_thread(database.add_unshipped_orders, 2)
    async with pool.acquire() as connection:
        wrong = await connection.fetchval(
            """SELECT count(*) FROM order_lines l WHERE allocated_quantity
               <> (SELECT coalesce(sum(quantity), 0) FROM shipment_lines s WHERE s.order_line_id = l.id)"""
        )
        events = await connection.fetchval(
            "SELECT count(*) FROM events WHERE shipment_id BETWEEN $1 AND $2", numbers.first, numbers.last
        )
        # What the service adds comes after everything that was loaded.
        await connection.execute(
            """INSERT INTO orders (order_number, store_code, currency, locale, customer_name, customer_email,
                                   shipping_address, payment_provider, payment_authorization, shipping_amount,
                                   total_amount, unshipped_quantity, intake)
               SELECT 'next', store_code, currency, locale, customer_name, customer_email, shipping_address,
                      payment_provider, payment_authorization, shipping_amount, total_amount, 1, intake
               FROM orders LIMIT 1"""
        )
    assert wrong == 0
    assert events == 9


async def complete(connection: asyncpg.Connection[asyncpg.Record], numbers: Numbers) -> None:
    await complete_shipment(
        connection,
        shipment_number=f"{numbers.first}-1",
        departure=Departure(parcels=(Parcel(tracking_number=TRACKING),), notify=True),
        providers={},
        capture_timeout_s=5,
        request_id="0af7651916cd43dd8448eb211c80319c",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
