"""A PaymentIntent as Stripe tells it, and what it says of one capture.

Stripe cannot be asked by an idempotency key, and forgets keys after a day. So the key is left on the PaymentIntent:

- A capture that takes all that will ever be taken puts a *claim* there first. Only one such capture can succeed, and
  the PaymentIntent's status says that it did.
- One capture of several carries its *mark* in the request that moves the money. Stripe keeps both or neither.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import structlog
from pydantic import BaseModel, Field

from service.payments.provider import Captured, Declined, OutcomeUnknown

log = structlog.get_logger()

_CLAIM: Final = "waybill_claim_"
_MARK: Final = "waybill_capture_"
# Names of metadata have at most 40 characters.
_DIGEST_LENGTH: Final = 24
# What has not captured by then never will: its attempt is given up, and another one may follow.
_CLAIM_S: Final = 3600


class _Multicapture(BaseModel):
    status: str


class _Card(BaseModel):
    multicapture: _Multicapture | None = None


class _PaymentMethodDetails(BaseModel):
    card: _Card | None = None


class _Charge(BaseModel):
    id: str
    payment_method_details: _PaymentMethodDetails | None = None


class PaymentIntent(BaseModel):
    """What we read of a PaymentIntent. Amounts are in Stripe's units; None where a server leaves them out."""

    id: Annotated[str, Field(min_length=1, max_length=255)]
    status: Literal[
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "canceled",
        "succeeded",
    ]
    currency: str
    amount: int
    amount_capturable: int | None = None
    amount_received: int | None = None
    cancellation_reason: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    # An id, unless the request asked for more.
    latest_charge: str | _Charge | None = None

    @property
    def reference(self) -> str:
        """Stripe's name for the money that moved."""
        charge = self.latest_charge
        return (charge.id if isinstance(charge, _Charge) else charge) or self.id

    @property
    def capturable(self) -> int:
        """What can still be taken while the status is `requires_capture`."""
        return self.amount if self.amount_capturable is None else self.amount_capturable

    @property
    def captures_in_parts(self) -> bool:
        """Whether Stripe keeps the rest of the authorization after a capture."""
        details = self.latest_charge.payment_method_details if isinstance(self.latest_charge, _Charge) else None
        multicapture = details.card.multicapture if details and details.card else None
        return multicapture is not None and multicapture.status == "available"


def claim(intent: PaymentIntent, key: str, amount: int, *, now: float) -> dict[str, str]:
    """Return the metadata that says: a capture with this key is about to take `amount`, the only one there will be.

    Claims that were made an hour before `now` (Unix time, seconds) are withdrawn by it.
    """
    stale = {name: "" for name, value in _notes(intent, _CLAIM).items() if _last_number(value) < now - _CLAIM_S}
    return stale | {_CLAIM + _digest(key): f"{amount} {key} {int(now)}"}


def mark(key: str, amount: int) -> dict[str, str]:
    """Return the metadata that says: this key took `amount`."""
    return {_MARK + _digest(key): f"{amount} {key}"}


def outcome(intent: PaymentIntent, key: str) -> Captured | Declined | None:
    """Return what became of the capture with this key; None: no money was moved by it, and it may still be.

    Raises `OutcomeUnknown` while nobody can tell.
    """
    if _MARK + _digest(key) in intent.metadata:
        return Captured(intent.reference)
    match intent.status:
        case "requires_capture":
            return None
        case "succeeded":
            return _of_succeeded(intent, key)
        case "processing":
            raise OutcomeUnknown("the PaymentIntent is processing")
        case "canceled":
            return Declined(f"the PaymentIntent is canceled: {intent.cancellation_reason}")
        case _:
            return Declined(f"the PaymentIntent is {intent.status}")


def _of_succeeded(intent: PaymentIntent, key: str) -> Captured | Declined:
    claims = {name: _first_number(value) for name, value in _notes(intent, _CLAIM).items()}
    if intent.amount_received is not None:
        in_parts = sum(map(_first_number, _notes(intent, _MARK).values()))
        claims = {name: amount for name, amount in claims.items() if amount == intent.amount_received - in_parts}
    if _CLAIM + _digest(key) not in claims:
        return Declined("the PaymentIntent was captured, but not with this key")
    if len(claims) > 1:
        # Two orders with one PaymentIntent, or an attempt that was refused just before: a person has to look.
        log.error("stripe_capture_ambiguous", payment_intent=intent.id, idempotency_key=key)
        raise OutcomeUnknown("several captures claim the amount that was taken")
    return Captured(intent.reference)


def _notes(intent: PaymentIntent, prefix: str) -> dict[str, str]:
    # An empty value is none: so metadata is removed.
    return {name: value for name, value in intent.metadata.items() if value and name.startswith(prefix)}


def _first_number(value: str) -> int:
    return _number(value.partition(" ")[0])


def _last_number(value: str) -> int:
    return _number(value.rpartition(" ")[2])


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise OutcomeUnknown("somebody has changed what we left on the PaymentIntent") from None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_LENGTH]
