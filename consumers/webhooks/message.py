"""What is sent: the event's body byte for byte, with CloudEvents attributes (HTTP, binary mode) and a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final
from uuid import UUID, uuid4

from consumers.delivery import trace_id_of
from consumers.webhooks.due import Due
from consumers.webhooks.signature import sign
from schemas.events import EventType

TEST_TYPE: Final = "waybill.test"
USER_AGENT: Final = f"Waybill/{version('waybill')}"

# An event without a shipment, in the envelope of the others, so that a receiver parses it as it parses them.
_TEST_BODY: Final = '{"eventType":{"@class":"OrderEvent","name":"WAYBILL_TEST"},"guid":"test","data":{}}'


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook; the same in every attempt, apart from the time and the signature."""

    webhook_id: str
    body: str
    attributes: Mapping[str, str]
    keys: Sequence[bytes] = field(repr=False)

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the headers of an attempt made now, which is in UTC."""
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            # What is kept of the answer is to be read by people.
            "accept-encoding": "identity",
            **self.attributes,
            "webhook-id": self.webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(self.keys, webhook_id=self.webhook_id, at=now, body=self.body),
        }


def event_message(due: Due) -> Message:
    """Build the webhook of an event. Its id is the event's, so that the receiver knows a repetition."""
    attributes = _attributes(
        event_id=due.event_id, kind=due.type, source=f"/waybill/{due.store}", occurred_at=due.occurred_at
    )
    attributes |= {"ce-subject": due.subject, "ce-dataschema": EventType(due.type).schema_id}
    if trace_id_of(due.traceparent):
        attributes["traceparent"] = due.traceparent
    return Message(str(due.event_id), due.body, attributes, due.keys)


def sample_message(keys: Sequence[bytes]) -> Message:
    """Build a webhook that tells of nothing, to see whether webhooks arrive."""
    event_id = uuid4()
    attributes = _attributes(event_id=event_id, kind=TEST_TYPE, source="/waybill", occurred_at=datetime.now(UTC))
    return Message(str(event_id), _TEST_BODY, attributes, keys)


def _attributes(*, event_id: UUID, kind: str, source: str, occurred_at: datetime) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        "ce-id": str(event_id),
        "ce-type": kind,
        "ce-source": source,
        "ce-time": occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
