"""Handling one delivery from beginning to end: read, handle once, settle, and say so in one line."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

import structlog
from aio_pika.abc import AbstractIncomingMessage
from structlog.contextvars import bound_contextvars

from consumers import delivery, inbox
from consumers.delivery import Delivery
from consumers.inbox import Handler, Pool
from consumers.outcome import DatabaseAway, Dead, Handled, Outcome, Pause, Rejected, Retry, Skipped, TryLater, decide
from consumers.settle import CopyPublisher, settle
from schemas.topology import ConsumerTopology

log = structlog.get_logger()

# Who knows what an error means is not second-guessed by asking the database.
_UNDERSTOOD: Final = (Rejected, TryLater, DatabaseAway)

# Reads a message for its consumer. Raises `Rejected`.
Read: TypeAlias = Callable[[AbstractIncomingMessage], Delivery[Any]]


@dataclass(frozen=True, slots=True)
class Work:
    """One consumer's work: what it does, with what, and how long it may take."""

    topology: ConsumerTopology
    pool: Pool
    handler: Handler[Any]
    handler_timeout_s: float
    read: Read = delivery.read_delivery
    # What the log calls the event's `guid`.
    subject: str = "shipment_number"
    # Whether messages that wait at the same time may share a transaction: only for a handler whose effects are all in
    # the database (ADR 0014).
    together: bool = False


async def process(work: Work, message: AbstractIncomingMessage, copies: CopyPublisher) -> Outcome:
    """Handle and settle one delivery; return what became of it.

    If this is cancelled, nothing is settled: the broker delivers the message again and no attempt is counted.
    Raises what settling raises; then the message is unacknowledged too.
    """
    began = time.monotonic()
    attempt = delivery.attempt(message)
    with bound_contextvars(
        event_id=message.message_id,
        request_id=delivery.request_id(message),
        trace_id=delivery.trace_id(message),
    ):
        guid: str | None = None
        try:
            received = work.read(message)
            guid = received.event.guid
            outcome: Outcome = await _handle(work, received)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is decided on, not lost
            outcome = decide(await _cause(work.pool, error), attempt, work.topology.retry_delays_s)
        await settle(message, outcome, attempt=attempt, topology=work.topology, copies=copies)
        log_settled(work, guid, outcome, attempt=attempt, began=began)
    return outcome


def log_settled(
    work: Work, guid: str | None, outcome: Outcome, *, attempt: int, began: float, **ids: str | None
) -> None:
    """Write a message's one line; `began` is by the monotonic clock, in seconds."""
    log.log(
        _level(outcome),
        "message_settled",
        attempt=attempt,
        duration_ms=round((time.monotonic() - began) * 1000, 1),
        **{work.subject: guid},
        **_described(outcome),
        **ids,
    )


async def _handle(work: Work, received: Delivery[Any]) -> Outcome:
    async with asyncio.timeout(work.handler_timeout_s):
        return await inbox.handle_once(
            work.pool, consumer=work.topology.consumer, delivery=received, handler=work.handler
        )


async def _cause(pool: Pool, error: Exception) -> Exception:
    if isinstance(error, _UNDERSTOOD):
        return error
    if not await inbox.database_answers(pool):
        # A database that hangs rather than closes shows as a time-out or worse; the message is not to blame.
        return DatabaseAway(f"the database does not answer: {type(error).__name__}")
    log.error("handler_failed", exc_info=error)
    return error


def _level(outcome: Outcome) -> int:
    match outcome:
        case Handled() | Skipped():
            return logging.INFO
        case Retry() | Pause():
            return logging.WARNING
        case Dead():
            return logging.ERROR
        case _:
            assert_never(outcome)


def _described(outcome: Outcome) -> dict[str, object]:
    fields = {"outcome": type(outcome).__name__.lower()}
    return fields | {field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome)}
