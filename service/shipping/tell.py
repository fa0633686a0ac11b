"""Tell the world what has happened to shipments, in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from publishers import outbox
from publishers.outbox import NewEvent
from schemas.events import EventLine, EventParcel, EventType, ShipmentData
from service.shipping.shipment import ShipmentStatus
from sql import Connection, queries

_STATUS_AFTER = {
    EventType.SHIPMENT_CREATED: ShipmentStatus.INVENTORY_ASSIGNED,
    EventType.SHIPMENT_RELEASED: ShipmentStatus.RELEASED,
    EventType.SHIPMENT_SHIPPED: ShipmentStatus.SHIPPED,
    EventType.SHIPMENT_CANCELLED: ShipmentStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class News:
    """The events that led to a shipment's present state, in their order, and by whose request.

    `notify` is about the shipped event only; None leaves it to the store's setting "Send Shipping Confirmation".
    """

    shipment_id: int
    events: Sequence[EventType]
    request_id: str
    traceparent: str
    notify: bool | None = False


async def tell(connection: Connection, news: Sequence[News]) -> None:
    """Append the events of each shipment.

    The statement that made a shipment's state has already counted them into `event_sequence`.
    """
    contents = {
        row["shipment_id"]: row
        async for row in queries("shipping").event_contents(
            connection, shipment_ids=[each.shipment_id for each in news]
        )
    }
    await outbox.append(connection, [event for each in news for event in _events(each, contents[each.shipment_id])])


def _events(news: News, content: asyncpg.Record) -> list[NewEvent]:
    first = content["event_sequence"] - len(news.events) + 1
    return [
        NewEvent(
            kind=kind,
            shipment_id=news.shipment_id,
            data=_data(kind, content, notify=news.notify, sequence=sequence),
            request_id=news.request_id,
            traceparent=news.traceparent,
        )
        for sequence, kind in enumerate(news.events, start=first)
    ]


def _data(kind: EventType, content: asyncpg.Record, *, notify: bool | None, sequence: int) -> ShipmentData:
    left = kind is EventType.SHIPMENT_SHIPPED
    mailed = content["send_shipping_confirmation"] if notify is None else notify
    parcels = [
        EventParcel(carrier=carrier, service=service, tracking_number=tracking_number, tracking_url=tracking_url)
        for carrier, service, tracking_number, tracking_url in (content["parcels"] if left else ())
    ]
    first = parcels[0] if parcels else EventParcel()
    return ShipmentData(
        order_number=content["order_number"],
        shipment_number=content["shipment_number"],
        store=content["store_code"],
        status=_STATUS_AFTER[kind],
        shipped_at=content["shipped_at"] if left else None,
        carrier=first.carrier,
        service=first.service,
        packages=content["package_count"] if left else None,
        carrier_tracking_number=first.tracking_number,
        tracking_url=first.tracking_url,
        parcels=parcels,
        lines=[EventLine(line_id=line_id, sku=sku, quantity=quantity) for line_id, sku, quantity in content["lines"]],
        notify_customer=left and mailed,
        sequence=sequence,
    )
