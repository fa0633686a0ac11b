"""Failures in the words of the Order API: a refusal is a 200 with `status` `no` and a `msg`.

Only what is wrong with the request itself, with the key or with the service has a status of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from aiohttp import web

from service.http.errors import RETRY_AFTER_S, Bug, Failure, kept_headers, message_of
from service.http.order_api_answers import answer, look_for_wish
from service.shipping.errors import (
    CaptureFailed,
    CaptureNotSupported,
    InvalidRequest,
    OrderNotFound,
    ShipmentAlreadyShipped,
    ShipmentIsCaptured,
    ShipmentIsPaid,
    ShipmentNotFound,
    TemporarilyUnavailable,
    WaybillError,
)

STATUS: dict[type[WaybillError], int] = {
    InvalidRequest: 400,
    CaptureNotSupported: 200,
    TemporarilyUnavailable: 503,
    WaybillError: 200,
}

# The documented messages, and ours in their style. What is not here is told in the error's own words.
MESSAGES: dict[type[WaybillError], str] = {
    OrderNotFound: "order does not exist",
    ShipmentNotFound: "shipment does not exist",
    ShipmentAlreadyShipped: "shipment is sent and can not be updated",
    ShipmentIsPaid: "shipment is paid and can not be updated",
    ShipmentIsCaptured: "shipment is captured and can not be updated",
    CaptureFailed: "capture failed",
    CaptureNotSupported: (
        "Action not supported by external payment plugin. Please do that action in your payment provider."
    ),
    TemporarilyUnavailable: "temporarily unavailable, repeat the request later",
}
HTTP_MESSAGES = {404: "path does not exist", 405: "method is not allowed"}

T = TypeVar("T")

# A plain word at the start of a sentence; not the name of a header.
_FIRST_WORD = re.compile(r"[A-Z][a-z]*(?![\w-])")


class Refused(WaybillError):
    """A refusal that only this contract knows. Its text is the message."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about: the `fields` that a refusal repeats, and the call's own `messages`."""

    fields: Mapping[str, Any]
    messages: Mapping[type[WaybillError], str] = field(default_factory=dict)


# Set by a handler as soon as it knows.
SUBJECT = web.RequestKey("subject", Subject)


async def order_api_error(request: web.Request, failure: Failure) -> web.Response:
    """Answer a failure, as JSON or XML."""
    await look_for_wish(request)
    if isinstance(failure, web.HTTPForbidden):
        return answer(request, {"status": "Not Allowed"}, status=403)
    if isinstance(failure, web.HTTPException):
        message = HTTP_MESSAGES.get(failure.status) or _in_style(message_of(failure))
        return answer(request, _no(message), status=failure.status, headers=kept_headers(failure))
    if isinstance(failure, Bug):
        return answer(request, _no("internal error"), status=500)
    subject = request.get(SUBJECT, Subject({}))
    status = _first(STATUS, failure)
    message = _first(subject.messages, failure) or _first(MESSAGES, failure) or _in_style(str(failure))
    structlog.contextvars.bind_contextvars(outcome="refused", reason=message)
    return answer(
        request,
        {**_no(message), **subject.fields},
        status=status or 200,
        headers={"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None,
    )


def _first(by_kind: Mapping[type[WaybillError], T], error: WaybillError) -> T | None:
    return next((by_kind[kind] for kind in type(error).__mro__ if kind in by_kind), None)


def _in_style(message: str) -> str:
    """Most of the contract's own messages begin in lower case and end without a full stop."""
    if _FIRST_WORD.match(message):
        message = message[0].lower() + message[1:]
    return message.removesuffix(".")


def _no(message: str) -> dict[str, str]:
    return {"status": "no", "msg": message}
