"""Complete a shipment: capture its payment, mark it SHIPPED, tell the world.

Contracts: Shipment Completion API, and the Order API's "Complete shipment".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import structlog

from schemas.events import EventType
from service.payments.provider import PaymentProvider
from service.shipping.capture import NothingReserved, capture_live, reserve_capture
from service.shipping.departure import Departure
from service.shipping.errors import CaptureDeclined, CaptureFailed, ShipmentNotFound
from service.shipping.ship import Leaving, ship
from service.shipping.shipment import COMPLETABLE, OrderStatus, ShipmentStatus, check_may_ship
from sql import Connection, queries

log = structlog.get_logger()

# How often a call looks again after another call's refused capture took the place of its own. Each round means that
# one more competitor was refused meanwhile; the lock time-out bounds the whole long before.
MOST_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Completed:
    """A shipment that this call has shipped."""

    shipment_number: str
    order_number: str


async def complete_shipment(
    connection: Connection,
    *,
    shipment_number: str,
    departure: Departure,
    shippable: frozenset[ShipmentStatus] = COMPLETABLE,
    capture: bool | None = None,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
    request_id: str,
    traceparent: str,
) -> Completed:
    """Ship a shipment that is in one of the `shippable` statuses, or raise one of `service.shipping.errors`.

    `capture` None does as the shipment says. Whatever is raised, the shipment stays as it was. Owns its
    transactions: `connection` must not be in one. Safe to cut off at any point and to repeat.
    """
    for _ in range(MOST_ROUNDS):
        # (a) Commit what we are about to ask the provider for.
        reserved = await reserve_capture(
            connection, shipment_number, statuses=shippable, capture=capture, providers=providers
        )
        try:
            # (b) Lock, decide, capture, ship. A refusal commits the DECLINED row and nothing else.
            async with connection.transaction():
                locked = await _lock_shippable(connection, shipment_number, shippable)
                if (locked["capture_wanted"] if capture is None else capture) and not await capture_live(
                    connection,
                    locked["shipment_id"],
                    reserved_capture=reserved,
                    providers=providers,
                    timeout_s=capture_timeout_s,
                ):
                    completed = None
                else:
                    completed = Completed(shipment_number=shipment_number, order_number=locked["order_number"])
                    events = [EventType.SHIPMENT_SHIPPED]
                    if not locked["good_to_go"]:
                        # The call implies good-to-go; who waits for the release hears of it too.
                        events.insert(0, EventType.SHIPMENT_RELEASED)
                    await ship(connection, [Leaving(locked["shipment_id"], departure, request_id, traceparent, events)])
        except NothingReserved:
            continue
        if completed is None:
            raise CaptureDeclined
        return completed
    log.error("capture_never_reserved", shipment_number=shipment_number, rounds=MOST_ROUNDS)
    raise CaptureFailed


async def _lock_shippable(
    connection: Connection, shipment_number: str, shippable: frozenset[ShipmentStatus]
) -> asyncpg.Record:
    locked: asyncpg.Record | None = await queries("shipping").lock_shipment(
        connection, shipment_number=shipment_number, provisional=False
    )
    if locked is None:
        raise ShipmentNotFound(shipment_number)
    check_state(locked, shippable)
    return locked


def check_state(locked: asyncpg.Record, shippable: frozenset[ShipmentStatus] = COMPLETABLE) -> None:
    """Raise what `check_may_ship` raises for a shipment in the state that its row tells."""
    check_may_ship(
        shipment_number=locked["shipment_number"],
        status=ShipmentStatus(locked["status"]),
        order_status=OrderStatus(locked["order_status"]),
        waiting_for_payment=locked["waiting_for_payment"],
        shippable=shippable,
    )
