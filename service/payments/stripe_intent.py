"""A PaymentIntent as Stripe tells it: what we read of it, and no more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

# Also the longest reference that a capture's row takes.
_Id = Annotated[str, Field(min_length=1, max_length=255)]


class _Multicapture(BaseModel):
    status: str


class _Card(BaseModel):
    multicapture: _Multicapture | None = None


class _PaymentMethodDetails(BaseModel):
    card: _Card | None = None


class _Charge(BaseModel):
    id: _Id
    payment_method_details: _PaymentMethodDetails | None = None


class PaymentIntent(BaseModel):
    """What we read of a PaymentIntent. Amounts are in Stripe's units; None where a server leaves them out."""

    id: _Id
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
    latest_charge: _Id | _Charge | None = None

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
