"""Stripe. An authorization is a PaymentIntent (`pi_…`) with manual capture whose money is on hold."""

from __future__ import annotations

import hashlib
import re
import time
from http import HTTPStatus
from typing import Final

import structlog

from schemas.money import MoneyError
from service.payments.provider import Captured, Declined, OutcomeUnknown, ProviderUnavailable
from service.payments.stripe_amounts import to_stripe
from service.payments.stripe_client import StripeClient, StripeRefused
from service.payments.stripe_intent import PaymentIntent
from service.payments.stripe_outcome import claim, is_partly_captured, mark, outcome

log = structlog.get_logger()

_INTENT_ID: Final = re.compile(r"pi_[A-Za-z0-9_]{1,200}")


class StripeProvider:
    """`PaymentProvider` over PaymentIntents.

    What Stripe keeps is looked at before money moves: that shows a capture whose answer was lost, however long ago,
    and Stripe's own idempotency key stops the one that is under way right now.
    """

    def __init__(self, client: StripeClient) -> None:
        self._client = client

    async def capture(
        self, *, authorization: str, amount: int, currency: str, idempotency_key: str, final: bool
    ) -> Captured | Declined:
        """See `PaymentProvider.capture`."""
        if not _INTENT_ID.fullmatch(authorization):
            return _NO_ID
        try:
            wanted = to_stripe(amount, currency)
        except MoneyError as error:
            return Declined(str(error))
        intent = await self._look(authorization)
        if intent is None:
            # This key has not been sent for a PaymentIntent that we can see, so it has moved nothing.
            return Declined("no such PaymentIntent in this account and mode")
        known = outcome(intent, idempotency_key) or _obstacle(intent, wanted, currency, final=final)
        return known or await self._take(intent, wanted, idempotency_key, final=final)

    async def find(self, idempotency_key: str, *, authorization: str) -> Captured | Declined | None:
        """See `PaymentProvider.find`."""
        if not _INTENT_ID.fullmatch(authorization):
            return _NO_ID
        intent = await self._look(authorization)
        if intent is None:
            # Another account's key cannot see what an earlier one captured.
            raise ProviderUnavailable("no such PaymentIntent in this account and mode")
        return outcome(intent, idempotency_key)

    async def _look(self, authorization: str) -> PaymentIntent | None:
        try:
            return await self._client.retrieve(authorization)
        except StripeRefused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise OutcomeUnknown(str(refusal)) from refusal
        log.error("stripe_payment_intent_not_found", payment_intent=authorization, setting="WAYBILL_STRIPE_API_KEY")
        return None

    async def _take(self, intent: PaymentIntent, amount: int, key: str, *, final: bool) -> Captured | Declined:
        in_parts = is_partly_captured(intent) or _leaves_more(intent, amount, final=final)
        fields = {"amount_to_capture": str(amount)}
        try:
            if in_parts:
                fields["final_capture"] = "true" if final else "false"
            else:
                await self._client.annotate(intent.id, claim(intent, key, amount, now=time.time()))
            captured = await self._client.capture(
                intent.id,
                fields,
                metadata=mark(key, amount) if in_parts else {},
                idempotency_key=_stripe_key(intent.id, key),
            )
        except StripeRefused as refusal:
            return await self._after_refusal(refusal, intent, key)
        if captured.status not in ({"succeeded", "requires_capture"} if in_parts else {"succeeded"}):
            raise OutcomeUnknown(f"captured, and the PaymentIntent is {captured.status}")
        return Captured(captured.reference)

    async def _after_refusal(self, refusal: StripeRefused, intent: PaymentIntent, key: str) -> Captured | Declined:
        log.warning(
            "stripe_capture_refused",
            payment_intent=intent.id,
            idempotency_key=key,
            status=refusal.status,
            code=refusal.code,
        )
        declined = Declined(refusal.code)
        if refusal.status == HTTPStatus.PAYMENT_REQUIRED:
            return declined
        # Refused perhaps because a request with this very key was quicker.
        now = await self._look(intent.id)
        return (outcome(now, key) if now else None) or declined


_NO_ID: Final = Declined("the authorization is not the id of a PaymentIntent")


def _obstacle(intent: PaymentIntent, amount: int, currency: str, *, final: bool) -> Declined | None:
    # A capture names no currency: Stripe takes the PaymentIntent's.
    if intent.currency.upper() != currency:
        return Declined("the PaymentIntent is in another currency")
    if amount > intent.capturable:
        return Declined("the PaymentIntent is good for less")
    if _leaves_more(intent, amount, final=final) and not intent.captures_in_parts:
        # Capturing now would release what the order's other shipments need.
        return Declined("multicapture is not available for this PaymentIntent")
    return None


def _leaves_more(intent: PaymentIntent, amount: int, *, final: bool) -> bool:
    return not final and amount < intent.capturable


def _stripe_key(intent_id: str, key: str) -> str:
    # Ours may hold any character, and installations that share an account may have the same.
    return "waybill-" + hashlib.sha256(f"{intent_id} {key}".encode()).hexdigest()
