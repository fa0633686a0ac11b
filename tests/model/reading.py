"""What the reading calls must tell of an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.wire import ORDER_API, money
from tests.model.world import Order, OrderStatus, Shipment, Status, Told

_STATUS_CODES = {
    OrderStatus.CONFIRMED: 2,
    OrderStatus.ONHOLD: 2,
    OrderStatus.IN_PROGRESS: 3,
    OrderStatus.COMPLETED: 4,
    OrderStatus.CANCELLED: 6,
}
_UNDER_WAY = {Status.AWAITING_INVENTORY, Status.INVENTORY_ASSIGNED, Status.RELEASED, Status.ONHOLD}


def check_order(order: Order, body: Any) -> None:
    """Compare `GET` of our own endpoint, which tells of removed shipments too."""
    assert order.content is not None
    told = [shipment for shipment in order.shipments if shipment.status is not Status.PROVISIONAL]
    captured = sum(
        shipment.live.amount for shipment in order.shipments if shipment.live is not None and shipment.is_paid
    )
    assert (body["status"], body["waitingForPayment"]) == (order.status, order.waiting_for_payment)
    assert body["payment"]["authorization"] == order.content.authorization
    assert body["capturedAmount"] == money(captured)
    assert [
        (row["number"], row["status"], row["goodToGo"], row["capture"], row.get("captureState"), row["lines"])
        for row in body["shipments"]
    ] == [
        (
            _number(order, shipment),
            shipment.status,
            shipment.good_to_go,
            shipment.capture_wanted,
            shipment.captures[-1].state if shipment.captures else None,
            dict(shipment.pieces),
        )
        for shipment in told
    ]


def check_lists(order: Order, get: Callable[..., Any]) -> None:
    """Compare the Order API's lists."""
    lists = {
        "goodtogo": [
            each for each in order.shipments if each.good_to_go and each.status in _UNDER_WAY and order.lets_ship
        ],
        "inprogress": [each for each in order.shipments if each.status in _UNDER_WAY],
        "completed": [each for each in order.shipments if each.status is Status.SHIPPED],
    }
    for name, expected in lists.items():
        rows = get(f"{ORDER_API}/shipments", order=order.number, status=name)["shipments"]
        assert [_row(row) for row in rows] == [_expected(order, shipment) for shipment in expected], name
    [row] = get(f"{ORDER_API}/orders", order=order.number)["orders"]
    assert row["orderStatus"] == _STATUS_CODES[order.status]
    assert (row["hold"], row["waitingForPayment"]) == (order.status is OrderStatus.ONHOLD, order.waiting_for_payment)
    assert [each["shipmentId"] for each in row["shipments"]] == [
        _number(order, shipment) for shipment in order.shipments if shipment.is_there
    ]


def _row(row: Any) -> tuple[object, ...]:
    pieces = {product["lineId"]: product["qty"] for product in row["products"]}
    return row["shipmentId"], row["gtg"], row["paid"], row["shouldCapture"], row["trackingNumber"], pieces


def _expected(order: Order, shipment: Shipment) -> tuple[object, ...]:
    return (
        _number(order, shipment),
        shipment.good_to_go,
        shipment.is_paid,
        shipment.capture_wanted and not shipment.is_paid,
        (shipment.told or Told()).tracking or "",
        dict(shipment.pieces),
    )


def _number(order: Order, shipment: Shipment) -> str:
    return f"{order.number}-{shipment.n}"
