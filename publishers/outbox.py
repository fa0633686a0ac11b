"""The transactional outbox: an event exists exactly if the transaction that made it was committed."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

import asyncpg

import sql
from schemas.events import EventType, ShipmentData, shipment_event


async def append(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record],
    *,
    kind: EventType,
    shipment_id: int,
    data: ShipmentData,
    request_id: str,
    traceparent: str,
) -> UUID:
    """Add the event to the history and to the outbox, inside the caller's transaction; return the event's id.

    Never begins nor commits. Raises `asyncpg.UniqueViolationError` if the shipment already has an event with
    `data.sequence`.
    """
    event_id = _new_event_id()
    await sql.queries("outbox").append_event(
        connection,
        event_id=event_id,
        shipment_id=shipment_id,
        sequence=data.sequence,
        type=kind.value,
        subject=data.shipment_number,
        body=shipment_event(kind, data).model_dump_json(by_alias=True),
        request_id=request_id,
        traceparent=traceparent,
    )
    return event_id


def _new_event_id() -> UUID:
    # UUID version 7: starts with the time, so that new rows share the newest pages of the indexes on it, and an
    # insert costs the same however long the history is. `secrets`, because forked workers share `random`'s state.
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)
