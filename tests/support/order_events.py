"""Order events as other systems publish them, and what they leave behind."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from tests.support.orders import order_body

NAMES = {"created": "ORDER_CREATED", "released": "ORDER_RELEASED"}


def order_event(kind: str, changes: dict[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
    """Return the body of an event; `changes` are those of `order_body`, `envelope` replaces fields around it."""
    data = order_body(changes)
    event_type = {"@class": "OrderEvent", "name": NAMES[kind]}
    return {"eventType": event_type, "guid": data["orderNumber"], "data": data} | envelope


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


async def standing(pool: asyncpg.Pool, number: str = "100001") -> dict[str, Any]:
    """Return where the order and its shipments stand, and the types of the shipments' events."""
    order = await pool.fetchrow("SELECT * FROM orders WHERE order_number = $1", number)
    assert order is not None
    shipments = await pool.fetch("SELECT * FROM shipments WHERE order_id = $1 ORDER BY n", order["id"])
    return {
        "status": order["status"],
        "waiting": order["waiting_for_payment"],
        "authorization": order["payment_authorization"],
        "shipments": {row["shipment_number"]: row["status"] for row in shipments},
        "events": {
            row["shipment_number"]: [
                event["type"].removeprefix("order-shipment-")
                for event in await pool.fetch(
                    "SELECT type, sequence FROM events WHERE shipment_id = $1 ORDER BY sequence", row["id"]
                )
            ]
            for row in shipments
        },
    }
