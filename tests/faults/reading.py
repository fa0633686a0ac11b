"""Reads the database's ledgers, and puts them beside what everybody else has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from consumers.registry import CONSUMERS
from tests.faults.books import (
    Call,
    Capture,
    Event,
    Ledgers,
    Mail,
    Order,
    ProviderCapture,
    Received,
    Shipment,
)
from tests.support.smtp_sink import Received as ReceivedMail

EMAIL = CONSUMERS["email"].topology((1,)).consumer

_ORDERS = """
SELECT o.order_number AS number, o.status, o.currency, coalesce(sum(l.quantity), 0)::integer AS pieces,
       o.unshipped_quantity AS unshipped, o.shipping_amount, o.total_amount, o.reserved_amount
FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id GROUP BY o.id
"""
_SHIPMENTS = """
SELECT s.shipment_number AS number, o.order_number AS order, s.status,
       extract(epoch FROM s.shipped_at)::float8 AS shipped_at, s.capture_wanted, s.goods_amount,
       s.piece_count AS pieces
FROM shipments s JOIN orders o ON o.id = s.order_id
"""
_CAPTURES = """
SELECT s.shipment_number AS shipment, c.idempotency_key AS key, c.amount, c.shipping_part, c.currency, c.state,
       c.provider_reference AS reference
FROM captures c JOIN shipments s ON s.id = c.shipment_id
"""
_EVENTS = """
SELECT e.id::text AS id, s.shipment_number AS shipment, e.type, e.body::text AS body,
       (e.body -> 'data' ->> 'notifyCustomer')::boolean AS notify
FROM events e JOIN shipments s ON s.id = e.shipment_id
"""
_UNSETTLED = """
SELECT EXISTS (SELECT FROM outbox)
    OR (SELECT count(*) FROM events WHERE type = 'order-shipment-shipped')
       <> (SELECT count(*) FROM inbox WHERE consumer = $1) + $2
"""


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages of the mail worker: waiting for it or for a further attempt, and dead."""

    waiting: int
    dead: int


async def unsettled(pool: asyncpg.Pool[asyncpg.Record], *, dead: int = 0) -> bool:
    """Say whether an event has not been published, or not been handled by the mail worker, nor is among the dead."""
    return bool(await pool.fetchval(_UNSETTLED, EMAIL, dead))


async def read_database(
    pool: asyncpg.Pool[asyncpg.Record],
    *,
    calls: Iterable[Call],
    provider: Iterable[dict[str, Any]],
    received: Iterable[Received],
    mails: Sequence[ReceivedMail],
    dead_letters: int,
) -> Ledgers:
    """Read the database in one snapshot and return it with the others' ledgers."""
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        inbox = await db.fetch("SELECT message_id::text AS id FROM inbox WHERE consumer = $1", EMAIL)
        emails = await db.fetch("SELECT event_id::text AS event_id, message_id FROM emails")
        return Ledgers(
            calls=tuple(calls),
            orders=tuple(Order(**row) for row in await db.fetch(_ORDERS)),
            shipments=tuple(Shipment(**row) for row in await db.fetch(_SHIPMENTS)),
            captures=tuple(Capture(**row) for row in await db.fetch(_CAPTURES)),
            events=tuple(Event(**row) for row in await db.fetch(_EVENTS)),
            inbox=tuple(row["id"] for row in inbox),
            emails=tuple(Mail(**row) for row in emails),
            provider_captures=tuple(
                ProviderCapture(
                    key=entry["idempotency_key"],
                    reference=entry["id"],
                    amount=entry["amount"],
                    currency=entry["currency"],
                )
                for entry in provider
            ),
            received=tuple(received),
            mails=tuple(
                Mail(str(mail.message["X-Waybill-Event-Id"]), str(mail.message["Message-ID"])) for mail in mails
            ),
            outbox_left=await db.fetchval("SELECT count(*) FROM outbox"),
            dead_letters=dead_letters,
        )
