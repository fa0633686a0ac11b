"""The order intake as its consumer needs it: in the terms of consumers, inside their transaction."""

from __future__ import annotations

from typing import assert_never

import asyncpg

from consumers.outcome import Rejected, TryLater
from schemas.order_events import OrderEventType
from schemas.orders import IntakeOrder
from service.shipping.errors import InvalidRequest, OrderConflict
from service.shipping.intake_by_event import take_created, take_released
from sql import Connection

_BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def take_in(
    connection: Connection, order: IntakeOrder, kind: OrderEventType, *, request_id: str, traceparent: str
) -> bool:
    """Take an announced order in; return whether anything changed.

    Raises `Rejected` naming the fields that are wrong or contradict what is known, without private values, or
    `TryLater`.
    """
    match kind:
        case OrderEventType.CREATED:
            take = take_created
        case OrderEventType.RELEASED:
            take = take_released
        case _:
            assert_never(kind)
    try:
        result = await take(connection, order, request_id=request_id, traceparent=traceparent)
    except (InvalidRequest, OrderConflict) as refusal:
        raise Rejected(str(refusal)) from None
    except _BUSY:
        raise TryLater("another process is working on this order") from None
    return result.outcome != "unchanged"
