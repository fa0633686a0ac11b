"""Tell a repeated completion from one that says something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.shipping.departure import Departure, Parcel
from sql import Connection, queries


async def is_repeated(
    connection: Connection, shipment_number: str, departure: Departure, *, capture: bool | None
) -> bool:
    """Return whether the shipment is SHIPPED and a completion with this content would say nothing new.

    SHIPPED is final, so nothing needs to be locked.
    """
    told = await queries("creation").departure_told(connection, shipment_number=shipment_number)
    return told is not None and says_nothing_new(departure, told, capture=capture)


def says_nothing_new(departure: Departure, told: Mapping[str, Any], *, capture: bool | None) -> bool:
    """Compare what a caller tells with what is stored of the shipment (query `departure_told`). Pure.

    What the caller leaves out is not compared. A caller who wants the payment captured, and thinks it is, must not
    hear that all is done while it is not; nor one who asks for a mail that was never to be sent.
    """
    wanted = told["capture_wanted"] if capture is None else capture
    return (
        (told["paid"] or not wanted)
        and departure.packages in {None, told["package_count"]}
        and departure.return_slip_tracking in {None, told["return_slip_tracking"]}
        and (departure.notify is None or told["notified"] in {None, departure.notify})
        and (departure.comment is None or _ends_with(told["internal_comment"], departure.comment))
        and len(departure.parcels) <= len(told["parcels"])
        and all(_same_parcel(*pair) for pair in zip(departure.parcels, told["parcels"], strict=False))
    )


def _ends_with(comment: str, appended: str) -> bool:
    return comment == appended or comment.endswith(f"\n{appended}")


def _same_parcel(parcel: Parcel, told: Mapping[str, Any]) -> bool:
    return all(
        given in {None, told[name]}
        for name, given in (
            ("carrier", parcel.carrier),
            ("service", parcel.service),
            ("tracking_number", parcel.tracking_number),
            ("tracking_url", parcel.tracking_url),
        )
    )
