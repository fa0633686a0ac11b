"""What a caller tells about a shipment that has left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parcel:
    """One parcel. What is None is not known; it never erases what is known already."""

    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """How a shipment left. `notify`: whether to mail the customer, None leaves it to the store's setting."""

    parcels: tuple[Parcel, ...] = ()
    packages: int | None = None
    return_slip_tracking: str | None = None
    # Appended to the shipment's internal comment.
    comment: str | None = None
    notify: bool | None = None
