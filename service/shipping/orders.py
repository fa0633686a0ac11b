"""Read an order as it stands."""

from __future__ import annotations

from schemas.money import to_text
from schemas.order_answers import OrderAnswer, ShipmentAnswer
from service.shipping.errors import OrderNotFound
from sql import Connection, queries


async def find_order(connection: Connection, order_number: str) -> OrderAnswer:
    """Return the order with its shipments, both as of one moment. Raise `OrderNotFound`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        order = await queries("orders").find_order(connection, order_number=order_number)
        if order is None:
            raise OrderNotFound(order_number)
        shipments = [row async for row in queries("orders").find_shipments(connection, order_number=order_number)]
    currency = order["currency"]
    return OrderAnswer.model_validate(
        {
            **order["intake"],
            "status": order["status"],
            "waitingForPayment": order["waiting_for_payment"],
            "totalAmount": to_text(order["total_amount"], currency),
            "capturedAmount": to_text(order["captured_amount"], currency),
            "shipments": [
                ShipmentAnswer(**{**row, "goods_amount": to_text(row["goods_amount"], currency)}) for row in shipments
            ],
            "createdAt": order["created_at"],
            "updatedAt": order["updated_at"],
        }
    )
