"""Reads messages of systems that are not Waybill: any content type, any message id or none (ADR 0011)."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID, uuid5

from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from consumers.delivery import Delivery, attempt, request_id, traceparent
from consumers.outcome import Rejected
from schemas.order_events import OrderEvent
from schemas.problems import problems_of

# As much as the order intake takes over HTTP.
LARGEST_BODY: Final = 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Never changes: the inbox's rows of foreign messages derive from it.
_NAMESPACE: Final = UUID("a7f2c0de-3c5b-4b0e-9f0a-6d6f1f6f2d11")


def read_order(message: AbstractIncomingMessage) -> Delivery[OrderEvent]:
    """Return the order event that `message` carries. Raise `Rejected` naming each wrong field, and no value."""
    if len(message.body) > LARGEST_BODY:
        raise Rejected(f"the body is larger than {LARGEST_BODY // 1024} KiB")
    try:
        # A byte order mark is no JSON, but some systems send it.
        event = OrderEvent.model_validate_json(message.body.removeprefix(_BYTE_ORDER_MARK))
    except ValidationError as error:
        raise Rejected(f"the body is not an order event: {'; '.join(problems_of(error))}") from None
    return Delivery(inbox_id(message), event, request_id(message), traceparent(message), attempt(message))


def inbox_id(message: AbstractIncomingMessage) -> UUID:
    """Return by what the inbox knows the message again.

    A UUID is taken at its word. Other ids are unique only by their sender's promise, so that the body counts too: two
    messages that share an id by mistake are two messages. Without an id it is the body alone.
    """
    try:
        return UUID(message.message_id or "")
    except ValueError:
        return uuid5(_NAMESPACE, f"{hashlib.sha256(message.body).hexdigest()} {message.message_id or ''}")
