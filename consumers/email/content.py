"""What a shipment's mail tells, read from the database and made fit to be shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sql
from consumers.inbox import Connection

# Line breaks and other controls, and the marks with which text can reorder what stands around it.
_UNSHOWABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
# Where the postal code follows the city; elsewhere it comes before.
_POSTAL_CODE_LAST: Final = frozenset({"US", "CA", "AU", "NZ", "GB", "IE", "IN", "ID", "PK", "TH", "ZA", "SG", "TW"})


@dataclass(frozen=True, slots=True)
class Item:
    """Pieces of one article."""

    name: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """One parcel; each field is None where it is not known. `url` is safe to be a link."""

    carrier: str | None
    service: str | None
    number: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """Lines in the order of the country's envelopes, and the country's code."""

    lines: tuple[str, ...]
    country: str | None


@dataclass(frozen=True, slots=True)
class ShipmentMail:
    """Everything that goes into one mail. Texts hold no control characters."""

    shipment_id: int
    event_id: UUID | None
    shipment: str
    order: str
    shipped: bool
    shipped_at: datetime
    locale: str
    store_code: str
    store: str
    sender: str | None
    customer: str
    recipient: str
    address: PostalAddress
    items: tuple[Item, ...]
    later: tuple[Item, ...]
    parcels: tuple[Parcel, ...]
    packages: int | None
    return_number: str | None


async def load_mail(connection: Connection, shipment_number: str) -> ShipmentMail | None:
    """Return the content of the mail about a shipment; None: there is no such shipment."""
    row = await sql.queries("email").shipment_mail(connection, shipment_number=shipment_number)
    return _mail(row) if row else None


def clean(text: str) -> str:
    """Return `text` on one line, without anything that is not shown but changes what is."""
    return _UNSHOWABLE.sub(" ", unicodedata.normalize("NFC", text)).strip()


def safe_link(url: str | None) -> str | None:
    """Return `url` if it is an ordinary web address, otherwise None: a link must not run a script."""
    if not url or _UNSHOWABLE.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def _mail(row: Mapping[str, Any]) -> ShipmentMail:
    return ShipmentMail(
        shipment_id=row["shipment_id"],
        event_id=row["event_id"],
        shipment=row["shipment_number"],
        order=row["order_number"],
        shipped=row["status"] == "SHIPPED",
        shipped_at=(row["shipped_at"] or datetime.now(UTC)).astimezone(_zone(row["time_zone"])),
        locale=row["locale"],
        store_code=row["store_code"],
        store=clean(row["store_name"]),
        sender=row["sender"],
        customer=clean(row["customer_name"]),
        recipient=row["customer_email"],
        address=_address(row["shipping_address"], row["customer_name"]),
        items=_items(row["lines"], "shipped"),
        later=_items(row["lines"], "later"),
        parcels=tuple(_parcel(each) for each in row["parcels"]),
        packages=row["package_count"],
        return_number=_text(row["return_slip_tracking"]),
    )


def _items(lines: list[dict[str, Any]], quantity: str) -> tuple[Item, ...]:
    return tuple(Item(clean(line["name"]), clean(line["sku"]), line[quantity]) for line in lines if line[quantity] > 0)


def _parcel(row: Mapping[str, Any]) -> Parcel:
    return Parcel(
        _text(row["carrier"]), _text(row["service"]), _text(row["tracking_number"]), safe_link(row["tracking_url"])
    )


def _address(fields: Mapping[str, Any], customer: str) -> PostalAddress:
    country = _text(fields.get("country"))
    city, region, code = (_text(fields.get(name)) for name in ("city", "region", "postalCode"))
    town = (city, region, code) if country in _POSTAL_CODE_LAST else (code, city, region)
    lines = (
        _text(fields.get("name")) or clean(customer),
        *(_text(fields.get(name)) for name in ("company", "street", "street2")),
        " ".join(part for part in town if part),
    )
    return PostalAddress(tuple(line for line in lines if line), country)


def _text(value: object) -> str | None:
    return clean(value) or None if isinstance(value, str) else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
