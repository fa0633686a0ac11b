"""Takes in the order that an event announces, once per event."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol

from consumers.delivery import Delivery, trace_id_of
from consumers.inbox import Connection
from consumers.outcome import Done, Handled, Skipped
from schemas.order_events import OrderEvent, OrderEventType
from schemas.orders import IntakeOrder


class TakeIn(Protocol):
    """The service's use case, which consumers may not import: take an announced order in."""

    async def __call__(
        self, connection: Connection, order: IntakeOrder, kind: OrderEventType, *, request_id: str, traceparent: str
    ) -> bool:
        """Return whether anything changed. Raises `Rejected` naming what contradicts, or `TryLater`."""
        ...


@dataclass(frozen=True, slots=True)
class OrderIntakeHandler:
    """Handles `order-created` and `order-released`."""

    take_in: TakeIn

    async def __call__(self, connection: Connection, delivery: Delivery[OrderEvent]) -> Done:
        """Take the order in. Its shipments' events are committed with it, and the relay finds them there."""
        changed = await self.take_in(
            connection,
            delivery.event.order,
            delivery.event.kind,
            # Whoever looks for the cause of the events that follow finds this message.
            request_id=delivery.request_id or str(delivery.event_id),
            traceparent=_span_within(delivery.traceparent),
        )
        return Handled() if changed else Skipped("the order is known as announced")


def _span_within(traceparent: str) -> str:
    trace = trace_id_of(traceparent) or secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"
