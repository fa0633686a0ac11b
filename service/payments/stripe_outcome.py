"""What a PaymentIntent says of one capture.

Stripe cannot be asked by an idempotency key, and forgets keys after a day. So the key is left on the PaymentIntent:

- A capture that takes all that will ever be taken puts a *claim* there first. Only one such capture can succeed, and
  the PaymentIntent's status says that it did.
- One capture of several carries its *mark* in the request that moves the money. Stripe keeps both or neither.
"""

from __future__ import annotations

import hashlib
from typing import Final

import structlog

from service.payments.provider import Captured, Declined, OutcomeUnknown
from service.payments.stripe_intent import PaymentIntent

log = structlog.get_logger()

_CLAIM: Final = "waybill_claim_"
_MARK: Final = "waybill_capture_"
# Names of metadata have at most 40 characters.
_DIGEST_LENGTH: Final = 24
# What has not captured by then never will: its attempt is given up, and another one may follow.
_CLAIM_S: Final = 3600


def claim(intent: PaymentIntent, key: str, amount: int, *, now: float) -> dict[str, str]:
    """Return the metadata that says: a capture with this key is about to take `amount`, the only one there will be.

    Claims that were made an hour before `now` (Unix time, seconds) are withdrawn by it.
    """
    stale = {name: "" for name, value in _notes(intent, _CLAIM).items() if _last_number(value) < now - _CLAIM_S}
    return stale | {_CLAIM + _digest(key): f"{amount} {key} {int(now)}"}


def mark(key: str, amount: int) -> dict[str, str]:
    """Return the metadata that says: this key took `amount`."""
    return {_MARK + _digest(key): f"{amount} {key}"}


def is_partly_captured(intent: PaymentIntent) -> bool:
    """Return whether money was taken already, so that a further capture is one of several."""
    return bool(intent.amount_received) or bool(_notes(intent, _MARK))


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
