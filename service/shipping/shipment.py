"""A shipment as a pure state machine: what may happen to it in which status."""

from __future__ import annotations

from enum import StrEnum

from service.shipping.errors import ShipmentAlreadyShipped, ShipmentNotReleased


class ShipmentStatus(StrEnum):
    """Statuses of the published contract, and one of ours."""

    # Ours: its creation waits for its capture. Nobody is told of it.
    PROVISIONAL = "PROVISIONAL"
    AWAITING_INVENTORY = "AWAITING_INVENTORY"
    INVENTORY_ASSIGNED = "INVENTORY_ASSIGNED"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"
    ONHOLD = "ONHOLD"
    CANCELLED = "CANCELLED"
    FAILED_ORDER = "FAILED_ORDER"


class OrderStatus(StrEnum):
    """Statuses of an order."""

    CONFIRMED = "CONFIRMED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    ONHOLD = "ONHOLD"
    CANCELLED = "CANCELLED"


# The Shipment Completion API ships what was released. The Order API's call implies good-to-go.
COMPLETABLE = frozenset({ShipmentStatus.RELEASED})
IMPLYING_RELEASE = frozenset({ShipmentStatus.RELEASED, ShipmentStatus.INVENTORY_ASSIGNED})
SHIPPING_ORDERS = frozenset({OrderStatus.CONFIRMED, OrderStatus.IN_PROGRESS})


def check_may_ship(
    *,
    shipment_number: str,
    status: ShipmentStatus,
    order_status: OrderStatus,
    waiting_for_payment: bool,
    shippable: frozenset[ShipmentStatus] = COMPLETABLE,
) -> None:
    """Return if the shipment may be shipped now, given its locked state.

    Raises `ShipmentAlreadyShipped` before anything else: a shipped shipment is also one that is not released, and
    callers take that answer as "done" (reference: Shipment Completion API, 409).
    Raises `ShipmentNotReleased` otherwise.
    """
    if status is ShipmentStatus.SHIPPED:
        raise ShipmentAlreadyShipped(shipment_number)
    if status not in shippable:
        raise ShipmentNotReleased(f"Shipment is not in RELEASED status: {shipment_number} is {status}")
    check_order_ships(order_status=order_status, waiting_for_payment=waiting_for_payment)


def check_order_ships(*, order_status: OrderStatus, waiting_for_payment: bool) -> None:
    """Return if the order lets its shipments be made and leave. Raises `ShipmentNotReleased` otherwise."""
    if order_status not in SHIPPING_ORDERS:
        raise ShipmentNotReleased(f"Order does not allow shipping: it is {order_status}")
    if waiting_for_payment:
        raise ShipmentNotReleased("Order does not allow shipping: it is waiting for payment")
