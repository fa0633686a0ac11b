"""Write down that a locked shipment has left, and tell the world."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.events import EventType
from service.shipping.carriers import tracking_url
from service.shipping.departure import Departure, Parcel
from service.shipping.tell import tell
from sql import Connection, queries


async def ship(
    connection: Connection,
    shipment_id: int,
    departure: Departure,
    *,
    events: Sequence[EventType] = (EventType.SHIPMENT_SHIPPED,),
    request_id: str,
    traceparent: str,
) -> None:
    """Set SHIPPED with what `departure` tells and append `events`; under the shipment's lock, its payment taken."""
    parcels = [_with_url(parcel) for parcel in departure.parcels]
    await queries("shipping").mark_shipped(
        connection,
        shipment_id=shipment_id,
        packages=departure.packages,
        return_slip_tracking=departure.return_slip_tracking,
        comment=departure.comment,
        event_count=len(events),
        carriers=[parcel.carrier for parcel in parcels],
        services=[parcel.service for parcel in parcels],
        tracking_numbers=[parcel.tracking_number for parcel in parcels],
        tracking_urls=[parcel.tracking_url for parcel in parcels],
    )
    await tell(
        connection,
        events,
        shipment_id=shipment_id,
        notify=departure.notify,
        request_id=request_id,
        traceparent=traceparent,
    )


def _with_url(parcel: Parcel) -> Parcel:
    """Fill in the carrier's own tracking page; the caller's address wins."""
    url = parcel.tracking_url or tracking_url(parcel.carrier, parcel.tracking_number)
    return Parcel(parcel.carrier, parcel.service, parcel.tracking_number, url)
