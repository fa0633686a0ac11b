"""Take a shipment's money apart from its leaving.

Contract: Order API, `PUT /capture`.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.payments.provider import PaymentProvider
from service.shipping.capture import NothingReserved, capture_live, reserve_capture
from service.shipping.complete_shipment import MOST_ROUNDS
from service.shipping.errors import CaptureDeclined, CaptureFailed, ShipmentNotFound, ShipmentNotReleased
from service.shipping.shipment import SHIPPING_ORDERS, OrderStatus, ShipmentStatus
from sql import Connection, queries

# Statuses in which a shipment may be captured without leaving.
_CAPTURABLE = frozenset(ShipmentStatus) - {
    ShipmentStatus.PROVISIONAL,
    ShipmentStatus.CANCELLED,
    ShipmentStatus.FAILED_ORDER,
}
# A shipment may have left before its money was asked for, and its order be complete.
_PAYING_ORDERS = SHIPPING_ORDERS | {OrderStatus.COMPLETED}


async def capture_shipment(
    connection: Connection,
    shipment_number: str,
    *,
    providers: Mapping[str, PaymentProvider],
    capture_timeout_s: float,
) -> str:
    """Take the shipment's money now, unless that has been done, and return the order's number.

    Raises `ShipmentNotFound`, `ShipmentNotReleased` where the order allows none, or a `CaptureFailed`.
    """
    shipping = queries("shipping")
    for _ in range(MOST_ROUNDS):
        reserved = await reserve_capture(
            connection,
            shipment_number,
            statuses=_CAPTURABLE,
            order_statuses=_PAYING_ORDERS,
            capture=True,
            providers=providers,
        )
        try:
            async with connection.transaction():
                locked = await shipping.lock_shipment(connection, shipment_number=shipment_number, provisional=False)
                if locked is None or locked["status"] not in _CAPTURABLE:
                    raise ShipmentNotFound(shipment_number)
                live = await shipping.live_capture(connection, shipment_id=locked["shipment_id"])
                # What is paid stays paid, whatever has become of the order.
                if live is not None and live["state"] == "CAPTURED":
                    return str(locked["order_number"])
                if OrderStatus(locked["order_status"]) not in _PAYING_ORDERS or locked["waiting_for_payment"]:
                    raise ShipmentNotReleased("order does not allow captures")
                paid = await capture_live(
                    connection,
                    locked["shipment_id"],
                    reserved_capture=reserved,
                    providers=providers,
                    timeout_s=capture_timeout_s,
                )
        except NothingReserved:
            continue
        if not paid:
            raise CaptureDeclined
        return str(locked["order_number"])
    raise CaptureFailed
