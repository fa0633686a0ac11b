"""The transactional outbox: an event exists exactly if the transaction that made it was committed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import asyncpg

import sql
from schemas.events import EventType, ShipmentData, shipment_event

# A string, because asyncpg's classes are generic for the type checker only.
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"


def _new_event_id() -> UUID:
    # UUID version 7: starts with the time, so that new rows share the newest pages of the indexes on it, and an
    # insert costs the same however long the history is. `secrets`, because forked workers share `random`'s state.
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that has happened to a shipment, and by whose request."""

    kind: EventType
    shipment_id: int
    data: ShipmentData
    request_id: str
    traceparent: str
    id: UUID = field(default_factory=_new_event_id)


async def append(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Add the events to the history and to the outbox in their order, inside the caller's transaction.

    Never begins nor commits. Raises `asyncpg.UniqueViolationError` if a shipment already has an event with
    the `data.sequence` of one.
    """
    await sql.queries("outbox").append_events(
        connection,
        event_ids=[event.id for event in events],
        shipment_ids=[event.shipment_id for event in events],
        sequences=[event.data.sequence for event in events],
        types=[event.kind.value for event in events],
        subjects=[event.data.shipment_number for event in events],
        bodies=[shipment_event(event.kind, event.data).model_dump_json(by_alias=True) for event in events],
        request_ids=[event.request_id for event in events],
        traceparents=[event.traceparent for event in events],
    )
