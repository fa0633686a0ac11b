"""Tell the world what has happened to a shipment, in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Sequence

from publishers import outbox
from schemas.events import EventLine, EventParcel, EventType, ShipmentData
from service.shipping.shipment import ShipmentStatus
from sql import Connection, queries

_STATUS_AFTER = {
    EventType.SHIPMENT_CREATED: ShipmentStatus.INVENTORY_ASSIGNED,
    EventType.SHIPMENT_RELEASED: ShipmentStatus.RELEASED,
    EventType.SHIPMENT_SHIPPED: ShipmentStatus.SHIPPED,
    EventType.SHIPMENT_CANCELLED: ShipmentStatus.CANCELLED,
}


async def tell(
    connection: Connection,
    events: Sequence[EventType],
    *,
    shipment_id: int,
    notify: bool | None = False,
    request_id: str,
    traceparent: str,
) -> None:
    """Append the events that led to the shipment's present state, in their order.

    The statement that made the state has already counted them into `event_sequence`. `notify` is about the shipped
    event only; None leaves it to the store's setting "Send Shipping Confirmation".
    """
    content = await queries("shipping").event_content(connection, shipment_id=shipment_id)
    mailed = content["send_shipping_confirmation"] if notify is None else notify
    first = content["event_sequence"] - len(events) + 1
    for sequence, kind in enumerate(events, start=first):
        left = kind is EventType.SHIPMENT_SHIPPED
        parcels = [EventParcel(**parcel) for parcel in content["parcels"]] if left else []
        parcel = parcels[0] if parcels else EventParcel()
        data = ShipmentData(
            order_number=content["order_number"],
            shipment_number=content["shipment_number"],
            store=content["store_code"],
            status=_STATUS_AFTER[kind],
            shipped_at=content["shipped_at"] if left else None,
            carrier=parcel.carrier,
            service=parcel.service,
            packages=content["package_count"] if left else None,
            carrier_tracking_number=parcel.tracking_number,
            tracking_url=parcel.tracking_url,
            parcels=parcels,
            lines=[EventLine(**line) for line in content["lines"]],
            notify_customer=left and mailed,
            sequence=sequence,
        )
        await outbox.append(
            connection,
            kind=kind,
            shipment_id=shipment_id,
            data=data,
            request_id=request_id,
            traceparent=traceparent,
        )
