"""What is kept for how long, and the clearing away of the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from sql import Connection, queries

log = structlog.get_logger()

# Short transactions: nobody waits for a row longer than one of these takes, and vacuum follows.
BATCH_SIZE = 5_000
# Deleting an event looks for it in the outbox, which is read whole each time.
LARGEST_OUTBOX = 2_000

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cleared:
    """Rows that were deleted. `events` is None where they were left alone, because the outbox is too full."""

    events: int | None
    inbox: int
    emails: int
    webhook_deliveries: int


async def clear_away(connection: Connection, *, history_days: int, webhooks_days: int, now: datetime) -> Cleared:
    """Delete what is older, oldest first, in short transactions; safe beside everything, and to cut off.

    `connection` must not be in a transaction. Nothing that is still to be published or sent is deleted.
    """
    maintain = queries("maintain")
    history, webhooks = now - timedelta(days=history_days), now - timedelta(days=webhooks_days)
    # Deliveries first: those of an old event would go with it one by one.
    deliveries = await _in_batches(maintain.delete_webhook_deliveries, connection, after=0, older_than=webhooks)
    events = None
    if await maintain.outbox_size(connection) <= LARGEST_OUTBOX:
        events = await _in_batches(
            _delete_events, connection, after=UUID(int=0), before=_first_id(history), older_than=history
        )
    else:
        log.warning("events_left_alone", reason="the outbox is too full; run again when the relay has caught up")
    # After the events: an event that can be replayed must find its row in the inbox.
    inbox = await _in_batches(maintain.delete_inbox, connection, after=_EARLIEST, older_than=history)
    emails = await _in_batches(maintain.delete_emails, connection, after=_EARLIEST, older_than=history)
    return Cleared(events=events, inbox=inbox, emails=emails, webhook_deliveries=deliveries)


async def _delete_events(
    connection: Connection, *, after: UUID, before: UUID, older_than: datetime, batch_size: int
) -> dict[str, Any]:
    maintain = queries("maintain")
    async with connection.transaction():
        ids = [
            row["id"]
            async for row in maintain.lock_events(connection, after=after, before=before, batch_size=batch_size)
        ]
        deleted = await maintain.delete_events(connection, ids=ids, older_than=older_than)
    return {"last": ids[-1] if ids else None, "deleted": deleted}


async def _in_batches(
    delete: Callable[..., Awaitable[Any]], connection: Connection, *, after: object, **bounds: object
) -> int:
    deleted: int = 0
    while True:
        batch = await delete(connection, after=after, batch_size=BATCH_SIZE, **bounds)
        deleted += int(batch["deleted"])
        # The same place twice: everything from there on is somebody else's, or of one moment and gone.
        if batch["last"] is None or (batch["last"] == after and not batch["deleted"]):
            return deleted
        after = batch["last"]


def _first_id(moment: datetime) -> UUID:
    """Return the least event id of that moment: a UUID of version 7 begins with its milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
