"""Which shipment may be shipped, and what is said otherwise."""

from __future__ import annotations

import pytest

from service.shipping.errors import ShipmentAlreadyShipped, ShipmentNotReleased
from service.shipping.shipment import OrderStatus, ShipmentStatus, check_may_ship


def check(
    status: ShipmentStatus, order_status: OrderStatus = OrderStatus.CONFIRMED, *, waiting_for_payment: bool = False
) -> None:
    check_may_ship(
        shipment_number="100001-1", status=status, order_status=order_status, waiting_for_payment=waiting_for_payment
    )


@pytest.mark.parametrize("order_status", [OrderStatus.CONFIRMED, OrderStatus.IN_PROGRESS])
def test_a_released_shipment_of_a_live_order_may_ship(order_status: OrderStatus) -> None:
    check(ShipmentStatus.RELEASED, order_status)


@pytest.mark.parametrize("status", sorted(set(ShipmentStatus) - {ShipmentStatus.RELEASED, ShipmentStatus.SHIPPED}))
def test_every_other_status_is_refused_by_its_name(status: ShipmentStatus) -> None:
    with pytest.raises(ShipmentNotReleased, match=f"not in RELEASED status: 100001-1 is {status}"):
        check(status)


@pytest.mark.parametrize("order_status", list(OrderStatus))
def test_shipped_comes_before_every_other_reason(order_status: OrderStatus) -> None:
    with pytest.raises(ShipmentAlreadyShipped):
        check(ShipmentStatus.SHIPPED, order_status, waiting_for_payment=True)


@pytest.mark.parametrize("order_status", [OrderStatus.ONHOLD, OrderStatus.CANCELLED, OrderStatus.COMPLETED])
def test_an_order_that_is_held_or_over_refuses(order_status: OrderStatus) -> None:
    with pytest.raises(ShipmentNotReleased, match=order_status):
        check(ShipmentStatus.RELEASED, order_status)


def test_an_order_that_waits_for_payment_refuses() -> None:
    with pytest.raises(ShipmentNotReleased, match="waiting for payment"):
        check(ShipmentStatus.RELEASED, waiting_for_payment=True)
