"""The sandbox payment provider, seen from our side. Its server is `waybill sandbox-provider`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote

import aiohttp
import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from yarl import URL

from service.payments.exchange import exchange
from service.payments.provider import Captured, Declined, OutcomeUnknown, ProviderUnavailable

log = structlog.get_logger()


class _Answer(BaseModel):
    # Which capture it is about; where it says so, that is compared.
    idempotency_key: str | None = None


class _CapturedAnswer(_Answer):
    status: Literal["captured"]
    id: Annotated[str, Field(min_length=1, max_length=255)]


class _DeclinedAnswer(_Answer):
    status: Literal["declined"]
    reason: str = ""


class _UnknownAnswer(BaseModel):
    status: Literal["unknown"]


_DECISION: TypeAdapter[_CapturedAnswer | _DeclinedAnswer] = TypeAdapter(
    Annotated[_CapturedAnswer | _DeclinedAnswer, Field(discriminator="status")]
)


class SandboxProvider:
    """`PaymentProvider` over the sandbox's HTTP interface. Only a clear answer is an answer."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._captures = URL(base_url.rstrip("/") + "/captures")
        self._session = session

    async def capture(
        self, *, authorization: str, amount: int, currency: str, idempotency_key: str, final: bool
    ) -> Captured | Declined:
        """See `PaymentProvider.capture`."""
        body = {"authorization": authorization, "amount": amount, "currency": currency, "final": final}
        status, answer = await self._exchange(
            "POST", self._captures, json=body, headers={"Idempotency-Key": idempotency_key}
        )
        if status != HTTPStatus.OK:
            if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
                # We asked for something that the provider does not understand, or for two things with one key.
                log.error("capture_request_refused", idempotency_key=idempotency_key, status=status)
            raise OutcomeUnknown(f"capture answered {status}")
        return _decision(answer, idempotency_key)

    async def find(self, idempotency_key: str, *, authorization: str) -> Captured | Declined | None:
        """See `PaymentProvider.find`. The sandbox knows the authorization by the key."""
        url = URL(f"{self._captures}/{quote(idempotency_key, safe='')}", encoded=True)
        status, answer = await self._exchange("GET", url)
        if status == HTTPStatus.NOT_FOUND and _says_unknown(answer):
            return None
        if status != HTTPStatus.OK:
            raise OutcomeUnknown(f"find answered {status}")
        return _decision(answer, idempotency_key)

    async def _exchange(
        self, method: str, url: URL, *, json: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        status, answer = await exchange(self._session, method, url, json=json, headers=headers)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise ProviderUnavailable("out of service")
        return status, answer


def _decision(answer: bytes, idempotency_key: str) -> Captured | Declined:
    try:
        decision = _DECISION.validate_json(answer)
    except ValidationError:
        # Without the chained exception, which quotes the answer.
        raise OutcomeUnknown("the answer is none that we know") from None
    if decision.idempotency_key not in {None, idempotency_key}:
        raise OutcomeUnknown("the answer is about another capture")
    if isinstance(decision, _CapturedAnswer):
        return Captured(reference=decision.id)
    return Declined(reason=decision.reason)


def _says_unknown(answer: bytes) -> bool:
    # Not every 404 is the provider's: a wrong address or a proxy must not pass for "never seen".
    try:
        _UnknownAnswer.model_validate_json(answer)
    except ValidationError:
        return False
    return True
