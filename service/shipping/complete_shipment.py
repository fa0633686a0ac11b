"""Complete a shipment: capture its payment, mark it SHIPPED, tell the world. Contract: Shipment Completion API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from publishers import outbox
from schemas.events import EventLine, EventType, ShipmentData
from service.payments.provider import Declined, PaymentProvider
from service.shipping.capture import take_payment
from service.shipping.errors import CaptureDeclined, CaptureFailed, ShipmentNotFound
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


class _NothingReserved(Exception):
    """The capture that this call relied on was refused while it waited for the lock."""


async def complete_shipment(
    connection: Connection,
    *,
    shipment_number: str,
    tracking_number: str | None,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
    request_id: str,
    traceparent: str,
) -> Completed:
    """Ship a RELEASED shipment, or raise one of `service.shipping.errors` and leave it as it was.

    Owns its transactions: `connection` must not be in one. Safe to cut off at any point and to repeat.
    """
    for _ in range(MOST_ROUNDS):
        # (a) Commit what we are about to ask the provider for.
        reserved = await queries("shipping").reserve_capture(
            connection, shipment_number=shipment_number, shippable=sorted(COMPLETABLE)
        )
        try:
            # (b) Lock, decide, capture, ship. A refusal commits the DECLINED row and nothing else.
            async with connection.transaction():
                completed = await _complete_locked(
                    connection,
                    shipment_number=shipment_number,
                    tracking_number=tracking_number,
                    providers=providers,
                    capture_timeout_s=capture_timeout_s,
                    reserved_capture=reserved["id"] if reserved else None,
                    request_id=request_id,
                    traceparent=traceparent,
                )
        except _NothingReserved:
            continue
        if completed is None:
            raise CaptureDeclined
        return completed
    log.error("capture_never_reserved", shipment_number=shipment_number, rounds=MOST_ROUNDS)
    raise CaptureFailed


async def _complete_locked(
    connection: Connection,
    *,
    shipment_number: str,
    tracking_number: str | None,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
    reserved_capture: int | None,
    request_id: str,
    traceparent: str,
) -> Completed | None:
    """Return None when the provider refused."""
    shipping = queries("shipping")
    locked = await shipping.lock_shipment(connection, shipment_number=shipment_number)
    if locked is None:
        raise ShipmentNotFound(shipment_number)
    check_may_ship(
        shipment_number=shipment_number,
        status=ShipmentStatus(locked["status"]),
        order_status=OrderStatus(locked["order_status"]),
        waiting_for_payment=locked["waiting_for_payment"],
    )
    if locked["capture_wanted"]:
        capture = await shipping.live_capture(connection, shipment_id=locked["shipment_id"])
        if capture is None:
            raise _NothingReserved
        result = await take_payment(
            connection,
            capture,
            providers=providers,
            timeout_s=capture_timeout_s,
            reserved_by_us=capture["id"] == reserved_capture,
        )
        if isinstance(result, Declined):
            return None
    shipped = await shipping.mark_shipped(
        connection, shipment_id=locked["shipment_id"], tracking_number=tracking_number
    )
    content = await shipping.event_content(connection, shipment_id=locked["shipment_id"])
    await outbox.append(
        connection,
        kind=EventType.SHIPMENT_SHIPPED,
        shipment_id=locked["shipment_id"],
        data=ShipmentData(
            order_number=locked["order_number"],
            shipment_number=shipment_number,
            store=locked["store_code"],
            status=ShipmentStatus.SHIPPED,
            shipped_at=shipped["shipped_at"],
            carrier=content["carrier"],
            service=content["service"],
            packages=locked["package_count"],
            carrier_tracking_number=content["tracking_number"],
            tracking_url=content["tracking_url"],
            lines=[EventLine(**line) for line in content["lines"]],
            # The Shipment Completion API always mails.
            notify_customer=True,
            sequence=shipped["event_sequence"],
        ),
        request_id=request_id,
        traceparent=traceparent,
    )
    return Completed(shipment_number=shipment_number, order_number=locked["order_number"])
