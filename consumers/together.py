"""Handling deliveries that wait at the same time in one transaction: all of them or none (ADR 0014)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractIncomingMessage
from structlog.contextvars import bound_contextvars

from consumers import inbox
from consumers.acknowledging import Acknowledging
from consumers.delivery import Delivery, attempt, trace_id_of
from consumers.inbox import Connection
from consumers.outcome import Done
from consumers.work import Work, log_settled

log = structlog.get_logger()

# So that one that hangs does not hold up the others for as long as it may take alone.
LONGEST_S: Final = 5.0


async def process_together(
    work: Work, messages: Sequence[AbstractIncomingMessage], acknowledging: Acknowledging
) -> list[AbstractIncomingMessage]:
    """Handle deliveries and acknowledge them; return those that are left to be processed each by itself.

    If anything happens to any of them, nothing of it remains and all are left. If this is cancelled, nothing is
    settled. Raises what acknowledging raises; then the messages are unacknowledged too.
    """
    began = time.monotonic()
    group: list[tuple[AbstractIncomingMessage, Delivery[Any]]] = []
    left: list[AbstractIncomingMessage] = []
    for message in messages:
        received = _read(work, message)
        if received is None:
            left.append(message)
        else:
            group.append((message, received))
    if not group:
        return left
    try:
        done = await _handle(work, [received for _, received in group])
    except Exception as error:  # noqa: BLE001 - whatever it is, who is to blame is found out by doing each alone
        log.info("group_undone", messages=len(group), cause=type(error).__name__)
        return list(messages)
    await acknowledging.acknowledge([message for message, _ in group])
    for (_, received), outcome in zip(group, done, strict=True):
        log_settled(work, received.event.guid, outcome, attempt=received.attempt, began=began, **_ids(received))
    return left


def _read(work: Work, message: AbstractIncomingMessage) -> Delivery[Any] | None:
    # Who has held it before may hold it still, and what has failed before may fail again: neither is for company.
    if message.redelivered or attempt(message) > 1:
        return None
    try:
        return work.read(message)
    except Exception:  # noqa: BLE001 - it is read again alone, and what this means is decided there
        return None


async def _handle(work: Work, received: Sequence[Delivery[Any]]) -> list[Done]:
    async def handle(connection: Connection, delivery: Delivery[Any]) -> Done:
        with bound_contextvars(**_ids(delivery)):
            return await work.handler(connection, delivery)

    async with asyncio.timeout(min(work.handler_timeout_s, LONGEST_S)):
        return await inbox.handle_together(
            work.pool, consumer=work.topology.consumer, deliveries=received, handler=handle
        )


def _ids(received: Delivery[Any]) -> dict[str, str | None]:
    return {
        "event_id": str(received.event_id),
        "request_id": received.request_id,
        "trace_id": trace_id_of(received.traceparent),
    }
