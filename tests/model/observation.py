"""An order as it stands in the database, in the words of the model, with all of its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from tests.model.provider import ScriptedProvider
from tests.model.wire import PRICE_UNIT, answer_of, pieces_of
from tests.model.world import (
    Capture,
    Content,
    Key,
    Line,
    Order,
    OrderStatus,
    Planned,
    Shipment,
    State,
    Status,
    Told,
)

_ROWS = """
SELECT jsonb_build_object(
    'order', to_jsonb(o),
    'lines', (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.line_id) FROM order_lines l WHERE l.order_id = o.id),
    'shipments', (
        SELECT coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object(
            'pieces', (SELECT jsonb_object_agg(l.line_id, sl.quantity)
                       FROM shipment_lines sl JOIN order_lines l ON l.id = sl.order_line_id
                       WHERE sl.shipment_id = s.id),
            'parcels', (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.position), '[]')
                        FROM parcels p WHERE p.shipment_id = s.id),
            'captures', (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.attempt), '[]')
                         FROM captures c WHERE c.shipment_id = s.id),
            'events', (SELECT coalesce(jsonb_agg(to_jsonb(e) || jsonb_build_object(
                                  'waiting', (SELECT count(*) FROM outbox x WHERE x.event_id = e.id))
                              ORDER BY e.sequence), '[]')
                       FROM events e WHERE e.shipment_id = s.id)) ORDER BY s.n), '[]')
        FROM shipments s WHERE s.order_id = o.id))::text
FROM orders o WHERE o.order_number = $1
"""
_KEYS = """
SELECT key, shipment_number, status, body FROM idempotency_keys WHERE starts_with(key, $1 || ':') ORDER BY key
"""


@dataclass(frozen=True)
class Observation:
    """`text` is every column of every row of the order: as long as it is the same, nothing was changed."""

    order: Order
    rows: dict[str, Any]
    text: str


async def observe(connection: asyncpg.Connection, provider: ScriptedProvider, number: str) -> Observation:
    """Read the order and all that belongs to it."""
    text = await connection.fetchval(_ROWS, number)
    keys = tuple(_key(row) for row in await connection.fetch(_KEYS, number))
    if text is None:
        return Observation(Order(number, provider=provider.of_order(number), keys=keys), {}, "")
    rows = json.loads(text)
    row = rows["order"]
    order = Order(
        number=number,
        content=_content(row["intake"]),
        status=OrderStatus(row["status"]),
        waiting_for_payment=row["waiting_for_payment"],
        shipments=tuple(_shipment(each) for each in rows["shipments"]),
        provider=provider.of_order(number),
        keys=keys,
    )
    return Observation(order, rows, text)


def _content(intake: dict[str, Any]) -> Content:
    return Content(
        lines=tuple(
            Line(line["lineId"], line["quantity"], _minor(line["unitPrice"]))
            for line in sorted(intake["lines"], key=lambda each: each["lineId"])
        ),
        shipping_amount=_minor(intake["shippingAmount"]),
        payment_provider=intake["payment"]["provider"],
        authorization=intake["payment"]["authorization"],
        status=OrderStatus(intake["status"]),
        waiting_for_payment=intake["waitingForPayment"],
        shipments=tuple(
            Planned(Status(planned["status"]), planned["capture"], pieces_of(planned["lines"]))
            for planned in intake["shipments"]
        ),
    )


def _shipment(row: dict[str, Any]) -> Shipment:
    return Shipment(
        n=row["n"],
        status=Status(row["status"]),
        good_to_go=row["good_to_go"],
        capture_wanted=row["capture_wanted"],
        pieces=pieces_of(row["pieces"]),
        captures=tuple(
            Capture(
                capture["attempt"],
                capture["amount"],
                capture["shipping_part"],
                State(capture["state"]),
                capture["payment_authorization"],
            )
            for capture in row["captures"]
        ),
        events=tuple(event["type"].removeprefix("order-shipment-") for event in row["events"]),
        told=_told(row) if row["status"] == Status.SHIPPED else None,
    )


def _told(row: dict[str, Any]) -> Told:
    parcel = row["parcels"][0] if row["parcels"] else {"tracking_number": None, "carrier": None}
    shipped = [event for event in row["events"] if event["type"] == "order-shipment-shipped"]
    return Told(
        tracking=parcel["tracking_number"],
        carrier=parcel["carrier"],
        packages=row["package_count"],
        comment=row["internal_comment"],
        notify=shipped[-1]["body"]["data"]["notifyCustomer"] if shipped else None,
    )


def _key(row: asyncpg.Record) -> Key:
    return Key(
        name=row["key"],
        request="",
        shipment=int(row["shipment_number"].rpartition("-")[2]) if row["shipment_number"] else None,
        answer=answer_of(row["status"], json.loads(row["body"]), replayed=False) if row["body"] else None,
    )


def _minor(text: str) -> int:
    return int(Decimal(text) * PRICE_UNIT)
