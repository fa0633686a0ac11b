"""What is sent: the event's body byte for byte, with CloudEvents attributes (HTTP, binary mode) and a signature."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID, uuid4

from consumers.webhooks.signature import sign
from schemas.events import EventType

TEST_TYPE: Final = "waybill.test"
USER_AGENT: Final = f"Waybill/{version('waybill')}"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}(-[0-9a-f]+)+")
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


def event_message(delivery: Any) -> Message:  # noqa: ANN401 - a row of claim_due, read by its column names
    """Build the webhook of an event. Its id is the event's, so that the receiver knows a repetition."""
    attributes = _attributes(
        event_id=delivery["event_id"],
        kind=delivery["type"],
        source=f"/waybill/{delivery['store']}",
        occurred_at=delivery["occurred_at"],
    )
    attributes |= {"ce-subject": delivery["subject"], "ce-dataschema": EventType(delivery["type"]).schema_id}
    if _TRACEPARENT.fullmatch(delivery["traceparent"]):
        attributes["traceparent"] = delivery["traceparent"]
    return Message(str(delivery["event_id"]), delivery["body"], attributes, signing_keys(delivery))


def sample_message(keys: Sequence[bytes]) -> Message:
    """Build a webhook that tells of nothing, to see whether webhooks arrive."""
    event_id = uuid4()
    attributes = _attributes(event_id=event_id, kind=TEST_TYPE, source="/waybill", occurred_at=datetime.now(UTC))
    return Message(str(event_id), _TEST_BODY, attributes, keys)


def signing_keys(endpoint: Any) -> tuple[bytes, ...]:  # noqa: ANN401 - any row with the two columns
    """Return the secrets that are valid now, the newest first."""
    previous = endpoint["previous_secret"]
    return (endpoint["secret"], previous) if previous else (endpoint["secret"],)


def _attributes(*, event_id: UUID, kind: str, source: str, occurred_at: datetime) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        "ce-id": str(event_id),
        "ce-type": kind,
        "ce-source": source,
        "ce-time": occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
