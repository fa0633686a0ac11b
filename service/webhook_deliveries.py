"""What was delivered to webhook endpoints, as operators see it, and what is to be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sql
from service.wiring import PooledConnection


class Status(StrEnum):
    """What has become of a delivery. Held: it waits until its endpoint is enabled."""

    PENDING = "PENDING"
    HELD = "HELD"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made. Without a `code` there was no answer; without an `error` it was accepted."""

    n: int
    began_at: datetime
    duration_ms: int
    code: int | None
    error: str | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint, with its last attempt. `due_at` is set while another one will be made."""

    id: int
    endpoint_id: str
    partner: str
    event_id: UUID
    type: str
    subject: str
    status: Status
    attempts: int
    due_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    last: Attempt | None


@dataclass(frozen=True, slots=True)
class Retried:
    """How many deliveries are due again, and how many of them are held by a disabled endpoint."""

    due: int
    held: int


async def list_deliveries(
    connection: PooledConnection,
    *,
    delivery_id: int | None = None,
    endpoint_id: str | None = None,
    status: Status | None = None,
    most: int,
) -> list[Delivery]:
    """Return deliveries, newest first."""
    rows = sql.queries("webhooks").list_deliveries(
        connection, id=delivery_id, endpoint_id=endpoint_id, status=status, most=most
    )
    return [_delivery(row) async for row in rows]


async def list_attempts(connection: PooledConnection, delivery_id: int) -> list[Attempt]:
    """Return the attempts at one delivery, oldest first."""
    return [Attempt(**row) async for row in sql.queries("webhooks").list_attempts(connection, delivery_id=delivery_id)]


async def retry_deliveries(
    connection: PooledConnection, *, delivery_ids: Sequence[int] | None = None, endpoint_id: str | None = None
) -> Retried:
    """Make deliveries due now that are not delivered, with a new schedule: the named ones, an endpoint's, or all."""
    row = await sql.queries("webhooks").retry(
        connection, ids=None if delivery_ids is None else list(delivery_ids), endpoint_id=endpoint_id
    )
    return Retried(row["due"], row["held"])


def _delivery(row: Any) -> Delivery:  # noqa: ANN401 - a row of list_deliveries
    columns = dict(row)
    last = {name: columns.pop(name) for name in ("began_at", "duration_ms", "code", "error", "excerpt")}
    return Delivery(
        **columns | {"status": Status(columns["status"])},
        last=Attempt(n=columns["attempts"], **last) if last["began_at"] else None,
    )
