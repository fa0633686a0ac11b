"""The three requests that we make of Stripe, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

import aiohttp
import structlog
from pydantic import BaseModel, Field, ValidationError
from yarl import URL

from service.payments.exchange import exchange
from service.payments.provider import OutcomeUnknown, ProviderUnavailable
from service.payments.stripe_intent import PaymentIntent

log = structlog.get_logger()

# Whatever the account's own version, answers have the form that `PaymentIntent` reads.
API_VERSION: Final = "2026-10-28.endive"

_KEY_IS_WRONG: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.NOT_FOUND})

# Stripe's codes are identifiers. Anything else, its messages above all, is kept out of our logs.
_Code = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,100}$")]


class _Error(BaseModel):
    type: _Code
    code: _Code | None = None
    decline_code: _Code | None = None


class _ErrorAnswer(BaseModel):
    error: _Error


class StripeRefused(Exception):
    """Stripe will not do this: nothing has changed there. `code` is Stripe's name for the reason."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"Stripe answered {status}: {code}")
        self.status = status
        self.code = code


class StripeClient:
    """PaymentIntents over HTTP. No request is ever repeated by itself.

    Every call raises `StripeRefused`, or `OutcomeUnknown` where Stripe gave no clear answer.
    """

    def __init__(self, base_url: str, api_key: str, session: aiohttp.ClientSession) -> None:
        self._intents = URL(base_url.rstrip("/") + "/v1/payment_intents")
        self._headers = {"Authorization": f"Bearer {api_key}", "Stripe-Version": API_VERSION}
        self._session = session

    async def retrieve(self, intent_id: str) -> PaymentIntent:
        """Return the PaymentIntent with its charge."""
        return await self._request("GET", (self._intents / intent_id).with_query({"expand[]": "latest_charge"}))

    async def annotate(self, intent_id: str, metadata: Mapping[str, str]) -> PaymentIntent:
        """Add to the PaymentIntent's metadata."""
        return await self._request("POST", self._intents / intent_id, form=_in_brackets(metadata))

    async def capture(
        self, intent_id: str, fields: Mapping[str, str], *, metadata: Mapping[str, str], idempotency_key: str
    ) -> PaymentIntent:
        """Move money. Within a day, the same key gets the same answer."""
        return await self._request(
            "POST",
            self._intents / intent_id / "capture",
            form={**fields, **_in_brackets(metadata)},
            headers={"Idempotency-Key": idempotency_key},
        )

    async def _request(
        self, method: str, url: URL, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> PaymentIntent:
        status, answer = await exchange(
            self._session, method, url, headers={**self._headers, **(headers or {})}, form=form
        )
        if status != HTTPStatus.OK:
            raise _failure(status, answer)
        try:
            return PaymentIntent.model_validate_json(answer)
        except ValidationError:
            # Without the chained exception, which quotes the answer.
            raise OutcomeUnknown("the answer is no PaymentIntent") from None


def _in_brackets(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"metadata[{name}]": value for name, value in metadata.items()}


def _failure(status: int, answer: bytes) -> Exception:
    error = _error(answer)
    code = (error.decline_code or error.code or error.type) if error else None
    if status in _KEY_IS_WRONG:
        # Ours to mend: no card was refused, and the same call works once the setting is right.
        log.error("stripe_key_refused", status=status, code=code, setting="WAYBILL_STRIPE_API_KEY")
        return ProviderUnavailable(f"Stripe refuses our key: {status}")
    if status in _LATER or code == "lock_timeout":
        return ProviderUnavailable(f"Stripe answered {status}")
    if error and error.type == "idempotency_error":
        log.error("stripe_idempotency_key_reused", status=status, code=code)
    elif error and code and status in _REFUSALS:
        return StripeRefused(status, code)
    return OutcomeUnknown(f"Stripe answered {status}")


def _error(answer: bytes) -> _Error | None:
    try:
        return _ErrorAnswer.model_validate_json(answer).error
    except ValidationError:
        return None
