"""What Waybill relies on of any payment provider. A provider joins by describing itself as a `Subject`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service.payments.provider import Captured, Declined, OutcomeUnknown, PaymentProvider
from tests.support.waiting import until


@dataclass(frozen=True)
class Subject:
    """A provider, authorizations that make it behave, and a look at the money behind its back."""

    provider: PaymentProvider
    # Each call returns an authorization that no earlier call has returned.
    good: Callable[[], str]
    declining: Callable[[], str]
    never_answering: Callable[[], str]
    unavailable_once: Callable[[], str]
    # Amounts that were moved for an idempotency key, in one of those authorizations.
    moved: Callable[[str], list[int]]


async def capture(
    subject: Subject, authorization: str, *, key: str, amount: int = 24_800, final: bool = True
) -> Captured | Declined:
    return await subject.provider.capture(
        authorization=authorization, amount=amount, currency="SEK", idempotency_key=key, final=final
    )


async def find_decided(provider: PaymentProvider, key: str, authorization: str) -> Captured | Declined:
    """Ask until the provider has decided."""
    found: list[Captured | Declined] = []

    async def is_decided() -> bool:
        with suppress(OutcomeUnknown):
            found.extend(filter(None, [await provider.find(key, authorization=authorization)]))
        return bool(found)

    await until(is_decided)
    return found[0]


async def find_under_way(provider: PaymentProvider, key: str, authorization: str) -> None:
    """Ask until the provider has accepted the capture, and has not decided it."""

    async def is_under_way() -> bool:
        try:
            assert await provider.find(key, authorization=authorization) is None, "decided already"
        except OutcomeUnknown:
            return True
        return False

    await until(is_under_way)
