"""Write down that locked shipments have left, and tell the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.events import EventType
from service.shipping.carriers import tracking_url
from service.shipping.departure import Departure, Parcel
from service.shipping.tell import News, tell
from sql import Connection, queries


@dataclass(frozen=True, slots=True)
class Leaving:
    """A shipment that leaves, with the events that tell of it, and by whose request."""

    shipment_id: int
    departure: Departure
    request_id: str
    traceparent: str
    events: Sequence[EventType] = (EventType.SHIPMENT_SHIPPED,)


async def ship(connection: Connection, leaving: Sequence[Leaving]) -> None:
    """Set each SHIPPED with what its departure tells and append its events; under its lock, its payment taken."""
    parcels = [
        (each.shipment_id, position, _with_url(parcel))
        for each in leaving
        for position, parcel in enumerate(each.departure.parcels)
    ]
    await queries("shipping").mark_shipped(
        connection,
        shipment_ids=[each.shipment_id for each in leaving],
        packages=[each.departure.packages for each in leaving],
        return_slip_trackings=[each.departure.return_slip_tracking for each in leaving],
        comments=[each.departure.comment for each in leaving],
        event_counts=[len(each.events) for each in leaving],
        parcel_shipment_ids=[shipment_id for shipment_id, _, _ in parcels],
        positions=[position for _, position, _ in parcels],
        carriers=[parcel.carrier for _, _, parcel in parcels],
        services=[parcel.service for _, _, parcel in parcels],
        tracking_numbers=[parcel.tracking_number for _, _, parcel in parcels],
        tracking_urls=[parcel.tracking_url for _, _, parcel in parcels],
    )
    await tell(
        connection,
        [
            News(each.shipment_id, each.events, each.request_id, each.traceparent, notify=each.departure.notify)
            for each in leaving
        ],
    )


def _with_url(parcel: Parcel) -> Parcel:
    """Fill in the carrier's own tracking page; the caller's address wins."""
    url = parcel.tracking_url or tracking_url(parcel.carrier, parcel.tracking_number)
    return Parcel(parcel.carrier, parcel.service, parcel.tracking_number, url)
