"""The port to a payment provider. Implementations are pinned to it by one shared contract test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Captured:
    """The money moved. `reference` is the provider's own name for it."""

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider refused for good: this idempotency key will never move money. `reason` is for our log only."""

    reason: str


class OutcomeUnknown(Exception):
    """Nobody knows whether the money moved. Ask with `find`, or repeat with the same key; never take a new key."""


class ProviderUnavailable(OutcomeUnknown):
    """The provider could not be reached or says that it is out of service; the same call may be repeated later."""


class PaymentProvider(Protocol):
    """What Waybill needs of a payment provider.

    Neither call has a deadline of its own: the caller sets one and treats its passing as `OutcomeUnknown`.
    """

    async def capture(
        self, *, authorization: str, amount: int, currency: str, idempotency_key: str, final: bool
    ) -> Captured | Declined:
        """Take `amount` (minor units of `currency`) from the authorization, once per `idempotency_key`.

        `final` says that nothing more will be captured from this authorization, so that the rest may be released. A
        provider that cannot keep the rest declines what is not final. `final` may differ when a call is repeated:
        meanwhile, other captures of the order came or went. Raises `OutcomeUnknown`.
        """
        ...

    async def find(self, idempotency_key: str, *, authorization: str) -> Captured | Declined | None:
        """Return what became of the capture with this key; None: it has moved no money so far, and still might.

        `authorization` is that of the capture. Raises `OutcomeUnknown` when the provider cannot be asked.
        """
        ...
