"""The AMQP message of an event: CloudEvents 1.0 in binary mode, by its RabbitMQ binding."""

from __future__ import annotations

from datetime import UTC
from typing import Any, Final

from aio_pika import DeliveryMode, Message

from schemas.events import EventType
from schemas.topology import TOPIC

TRACEPARENT_HEADER: Final = "traceparent"
REQUEST_ID_HEADER: Final = "waybill-request-id"


def event_message(event: Any) -> Message:  # noqa: ANN401 - a row of claim_due, read by its column names
    """Build the message of an event. The body is the stored text, byte for byte."""
    return Message(
        event["body"].encode(),
        message_id=str(event["event_id"]),
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={
            "ce-specversion": "1.0",
            "ce-id": str(event["event_id"]),
            "ce-type": event["type"],
            "ce-source": f"/waybill/{event['store']}",
            "ce-subject": event["subject"],
            "ce-time": event["occurred_at"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ce-dataschema": EventType(event["type"]).schema_id,
            TRACEPARENT_HEADER: event["traceparent"],
            REQUEST_ID_HEADER: event["request_id"],
        },
    )


def destination(event: Any) -> tuple[str, str]:  # noqa: ANN401 - see event_message
    """Return exchange and routing key: the topic, or one queue by its name through the default exchange."""
    return ("", event["target"]) if event["target"] else (TOPIC, event["type"])
