"""How an order's content becomes rows and the first events of its shipments."""

from __future__ import annotations

from typing import Any

from publishers import outbox
from publishers.outbox import NewEvent
from schemas.events import EventLine, EventType, ShipmentData
from service.shipping.order_content import OrderContent, ShipmentContent
from sql import Connection, queries


def order_columns(content: OrderContent) -> dict[str, Any]:
    """Return the values of the order's own row."""
    document = content.document
    return {
        "order_number": document["orderNumber"],
        "store": document["store"],
        "currency": document["currency"],
        "locale": document["locale"],
        "customer_name": document["customer"]["name"],
        "customer_email": document["customer"]["email"],
        "shipping_address": document["shippingAddress"],
        "billing_address": document.get("billingAddress"),
        "status": document["status"],
        "waiting_for_payment": document["waitingForPayment"],
        "payment_provider": document["payment"]["provider"],
        "payment_authorization": document["payment"]["authorization"],
        "shipping_amount": content.shipping_amount,
        "total_amount": content.total_amount,
        "pieces": content.pieces,
        "shipment_count": len(content.shipments),
        "intake": document,
    }


async def insert_contents(
    connection: Connection, order_id: int, content: OrderContent, *, request_id: str, traceparent: str
) -> tuple[str, ...]:
    """Insert lines, shipments and the shipments' first events; return the shipments' numbers."""
    await queries("orders").insert_lines(
        connection,
        order_id=order_id,
        line_ids=[line.line_id for line in content.lines],
        skus=[line.sku for line in content.lines],
        names=[line.name for line in content.lines],
        quantities=[line.quantity for line in content.lines],
        unit_prices=content.unit_prices,
        tax_rates=[line.tax_rate for line in content.lines],
    )
    if not content.shipments:
        return ()
    shipments = content.shipments
    contents = [
        (n, line_id, quantity)
        for n, shipment in enumerate(shipments, start=1)
        for line_id, quantity in shipment.quantities.items()
    ]
    made = [
        row
        async for row in queries("orders").insert_shipments(
            connection,
            order_id=order_id,
            order_number=content.document["orderNumber"],
            statuses=[shipment.status for shipment in shipments],
            captures_wanted=[shipment.capture for shipment in shipments],
            goods_amounts=[shipment.goods_amount for shipment in shipments],
            piece_counts=[shipment.pieces for shipment in shipments],
            event_counts=[len(_events_of(shipment)) for shipment in shipments],
            content_ns=[n for n, _, _ in contents],
            content_line_ids=[line_id for _, line_id, _ in contents],
            content_quantities=[quantity for _, _, quantity in contents],
        )
    ]
    await outbox.append(
        connection,
        [
            NewEvent(
                kind=kind,
                shipment_id=row["id"],
                data=_event_data(content, shipment, row["shipment_number"], sequence),
                request_id=request_id,
                traceparent=traceparent,
            )
            for row, shipment in zip(made, shipments, strict=True)
            for sequence, kind in enumerate(_events_of(shipment), start=1)
        ],
    )
    return tuple(row["shipment_number"] for row in made)


def _events_of(shipment: ShipmentContent) -> list[EventType]:
    released = [EventType.SHIPMENT_RELEASED] if shipment.status == "RELEASED" else []
    return [EventType.SHIPMENT_CREATED, *released]


def _event_data(content: OrderContent, shipment: ShipmentContent, number: str, sequence: int) -> ShipmentData:
    return ShipmentData(
        order_number=content.document["orderNumber"],
        shipment_number=number,
        store=content.document["store"],
        status=shipment.status,
        lines=[
            EventLine(line_id=line.line_id, sku=line.sku, quantity=shipment.quantities[line.line_id])
            for line in content.lines
            if line.line_id in shipment.quantities
        ],
        notify_customer=False,
        sequence=sequence,
    )
