"""One message as a consumer sees it, read from what the broker delivered and trusting none of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Generic
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError
from typing_extensions import TypeVar

from consumers.outcome import Rejected
from schemas.events import ShipmentEvent
from schemas.topology import ATTEMPT_HEADER

REQUEST_ID_HEADER: Final = "waybill-request-id"
TRACEPARENT_HEADER: Final = "traceparent"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_LONGEST_REQUEST_ID: Final = 128
# Whatever somebody has written there, it can be written again.
_MOST_ATTEMPTS: Final = 1_000_000

# The body's model: what Waybill publishes, unless a consumer reads other messages.
Event = TypeVar("Event", default=ShipmentEvent)


@dataclass(frozen=True, slots=True)
class Delivery(Generic[Event]):
    """An event to handle. `event_id` is the same however often the event is delivered."""

    event_id: UUID
    event: Event
    request_id: str
    traceparent: str
    attempt: int


def read_delivery(message: AbstractIncomingMessage) -> Delivery:
    """Return what `message` carries. Raise `Rejected` if it is no event of ours: no attempt changes that.

    Whatever Waybill publishes has a UUID as its message id.
    """
    try:
        event_id = UUID(message.message_id or "")
    except ValueError:
        raise Rejected("the message_id is missing or not a UUID") from None
    try:
        event = ShipmentEvent.model_validate_json(message.body)
    except ValidationError as error:
        raise Rejected(f"the body is not a shipment event: {_problems(error)}") from None
    return Delivery(event_id, event, request_id(message), traceparent(message), attempt(message))


def attempt(message: AbstractIncomingMessage) -> int:
    """Return which attempt this delivery is; 1 is the first. Redeliveries by the broker do not count."""
    failed = message.headers.get(ATTEMPT_HEADER)
    return min(max(failed, 0), _MOST_ATTEMPTS) + 1 if isinstance(failed, int) else 1


def request_id(message: AbstractIncomingMessage) -> str:
    """Return the id of the call that caused the event, fit for a log line and a mail header; may be empty."""
    return _NOT_PRINTABLE.sub("", _text(message, REQUEST_ID_HEADER))[:_LONGEST_REQUEST_ID]


def traceparent(message: AbstractIncomingMessage) -> str:
    """Return the W3C trace context as it came, unchecked; may be empty."""
    return _text(message, TRACEPARENT_HEADER)


def trace_id(message: AbstractIncomingMessage) -> str | None:
    """Return the W3C trace id, if the message carries one."""
    return trace_id_of(traceparent(message))


def trace_id_of(context: str) -> str | None:
    """Return the trace id in a W3C trace context (`traceparent`), or None if it is none."""
    found = _TRACEPARENT.fullmatch(context)
    return found["trace_id"] if found else None


def _text(message: AbstractIncomingMessage, header: str) -> str:
    value = message.headers.get(header)
    return value if isinstance(value, str) else ""


def _problems(error: ValidationError) -> str:
    # Where and what kind, never the value.
    details = error.errors(include_input=False, include_url=False, include_context=False)
    listed = [f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['type']}" for each in details[:3]]
    return ", ".join(listed) + (f" and {len(details) - 3} more" if len(details) > 3 else "")
