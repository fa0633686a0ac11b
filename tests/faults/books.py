"""What is known after a run: what callers were told, the database, the provider, a subscriber and the mail server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Told(StrEnum):
    """What an answer means to the caller."""

    SHIPPED = "shipped"
    ALREADY = "already shipped"
    # A definite no, after which the shipment is as it was.
    REFUSED = "refused"
    # 5xx, a time-out or a broken connection: the caller knows nothing and asks again.
    UNKNOWN = "unknown"


def told_by(status: int | None) -> Told:
    """Read an HTTP status; None stands for no answer."""
    if status == 200:
        return Told.SHIPPED
    if status == 409:
        return Told.ALREADY
    return Told.REFUSED if status is not None and 400 <= status < 500 and status not in {408, 429} else Told.UNKNOWN


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a caller. `started` is the wall clock's, seconds since 1970; `seconds` is how long it took."""

    shipment_number: str
    told: Told
    status: int | None
    seconds: float
    started: float

    @property
    def ended(self) -> float:
        return self.started + self.seconds


@dataclass(frozen=True, slots=True)
class Order:
    """Amounts in minor units. `pieces` is all that was ordered."""

    number: str
    status: str
    currency: str
    pieces: int
    unshipped: int
    shipping_amount: int
    total_amount: int
    reserved_amount: int


@dataclass(frozen=True, slots=True)
class Shipment:
    """`shipped_at` is seconds since 1970."""

    number: str
    order: str
    status: str
    shipped_at: float | None
    capture_wanted: bool
    goods_amount: int
    pieces: int


@dataclass(frozen=True, slots=True)
class Capture:
    """A row of `captures`. The reference is what the provider calls it."""

    shipment: str
    key: str
    amount: int
    shipping_part: int
    currency: str
    state: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """A row of `events`. `body` is its published text."""

    id: str
    shipment: str
    type: str
    body: str
    notify: bool


@dataclass(frozen=True, slots=True)
class ProviderCapture:
    """Money that moved."""

    key: str
    reference: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the subscriber was delivered. `type` is its routing key."""

    event_id: str
    type: str
    body: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that the SMTP server accepted, or the row about it in `emails`."""

    event_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Ledgers:
    """All of it. `inbox` is what the mail worker has handled; the two last are what should have become empty."""

    calls: tuple[Call, ...] = ()
    orders: tuple[Order, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    captures: tuple[Capture, ...] = ()
    events: tuple[Event, ...] = ()
    inbox: tuple[str, ...] = ()
    emails: tuple[Mail, ...] = ()
    provider_captures: tuple[ProviderCapture, ...] = ()
    received: tuple[Received, ...] = ()
    mails: tuple[Mail, ...] = ()
    outbox_left: int = 0
    dead_letters: int = 0
