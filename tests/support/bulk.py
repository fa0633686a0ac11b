"""Bulk requests, and the promise that every answer keeps: exactly one result for each row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import asyncpg

from schemas.paths import SHIPMENTS_BASE
from tests.support.api import Api
from tests.support.rows import ShipmentRow, insert_capture, insert_order, insert_shipment

COMPLETE_MANY = f"{SHIPMENTS_BASE}/complete-shipments"
LINES = "application/x-ndjson"


def rows_of(*numbers: str) -> list[Any]:
    return [{"shipmentNumber": number} for number in numbers]


def written(rows: Sequence[Any], *, lines: bool) -> tuple[bytes, dict[str, str]]:
    """Return a request's body and what its header says about it."""
    if lines:
        return "\n".join(json.dumps(row) for row in rows).encode(), {"Content-Type": LINES}
    return json.dumps({"shipments": rows}).encode(), {"Content-Type": "application/json"}


@asynccontextmanager
async def bulk(api: Api, rows: Sequence[Any], *, lines: bool = True) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send rows, and read the answer as it comes."""
    body, headers = written(rows, lines=lines)
    headers["API-Authorization"] = api.key.secret
    async with api.session.post(api.url + COMPLETE_MANY, data=BytesIO(body), headers=headers) as response:
        yield response


async def complete_many(api: Api, rows: Sequence[Any], *, lines: bool = False) -> list[Any]:
    """Return each row's result, in the rows' order."""
    async with bulk(api, rows, lines=lines) as response:
        text = await response.text()
        assert response.status == 200, text
        assert response.content_type == (LINES if lines else "application/json")
    results = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)["results"]
    assert sorted(result["row"] for result in results) == list(range(1, len(rows) + 1))
    return sorted(results, key=lambda result: int(result["row"]))


def statuses(results: Sequence[Mapping[str, Any]]) -> list[int]:
    return [result["status"] for result in results]


def counted(results: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    return dict(Counter(statuses(results)))


async def next_result(response: aiohttp.ClientResponse) -> Any:
    """Return the next result of an answer in lines."""
    return json.loads(await response.content.readline())


async def insert_paid(pool: asyncpg.Pool[Any], order: str, **columns: Any) -> ShipmentRow:
    """Insert an order with one released shipment whose capture is made."""
    shipment = await insert_shipment(pool, await insert_order(pool, order), **columns)
    await insert_capture(pool, shipment)
    return shipment


async def insert_unpaid(pool: asyncpg.Pool[Any], order: str, authorization: str = "sandbox:ok") -> ShipmentRow:
    """Insert an order with one released shipment whose money is still to be taken."""
    return await insert_shipment(pool, await insert_order(pool, order, payment_authorization=authorization))


async def shipped_and_told(pool: asyncpg.Pool[Any]) -> list[str]:
    """Return the shipments that have left, having checked that each has told of it exactly once."""
    shipped = await pool.fetch(
        "SELECT shipment_number FROM shipments WHERE status = 'SHIPPED' AND shipped_at IS NOT NULL"
    )
    events = await pool.fetch(
        "SELECT e.subject FROM events e JOIN outbox o ON o.event_id = e.id WHERE e.type = 'order-shipment-shipped'"
    )
    numbers = sorted(row[0] for row in shipped)
    assert sorted(row[0] for row in events) == numbers
    return numbers
