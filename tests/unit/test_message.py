from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from aio_pika import DeliveryMode
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from publishers.message import destination, event_message
from schemas.topology import TOPIC

BODY = '{"guid":  "100001-1",\t"data": {"name": "Åsa"}}'


def event(**columns: Any) -> dict[str, Any]:
    return {
        "event_id": UUID("0199a5b2-0000-7000-8000-000000000001"),
        "type": "order-shipment-shipped",
        "subject": "100001-1",
        "store": "se-web",
        "body": BODY,
        "request_id": "req-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "occurred_at": datetime(2026, 11, 21, 18, 40, 0, 123456, UTC),
        "target": None,
    } | columns


def test_the_public_sdk_reads_it_as_a_cloud_event() -> None:
    message = event_message(event())
    read = from_binary(
        RabbitMQMessage(headers=message.headers, content_type=message.content_type, body=message.body), JSONFormat()
    )
    assert read.get_attributes() == {
        "specversion": "1.0",
        "id": "0199a5b2-0000-7000-8000-000000000001",
        "type": "order-shipment-shipped",
        "source": "/waybill/se-web",
        "subject": "100001-1",
        "time": datetime(2026, 11, 21, 18, 40, 0, 123000, UTC),
        "dataschema": "urn:waybill:schema:order-shipment-shipped:1",
        "datacontenttype": "application/json",
    }
    assert read.get_data() == json.loads(BODY)


def test_the_body_is_the_stored_text_byte_for_byte() -> None:
    assert event_message(event()).body == BODY.encode()


def test_the_broker_keeps_it_and_knows_it_by_the_events_id() -> None:
    message = event_message(event())
    assert message.delivery_mode is DeliveryMode.PERSISTENT
    assert message.message_id == "0199a5b2-0000-7000-8000-000000000001"


def test_it_can_be_traced_to_the_request() -> None:
    headers = event_message(event()).headers
    assert headers["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert headers["waybill-request-id"] == "req-1"


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 21, 18, 40, 0, 0, UTC), "2026-11-21T18:40:00.000Z"),
        (datetime(2026, 11, 21, 19, 40, 0, 999999, timezone(timedelta(hours=1))), "2026-11-21T18:40:00.999Z"),
    ],
)
def test_time_is_utc_in_milliseconds(moment: datetime, written: str) -> None:
    assert event_message(event(occurred_at=moment)).headers["ce-time"] == written


def test_it_goes_to_the_topic_unless_it_is_addressed_to_one_queue() -> None:
    assert destination(event()) == (TOPIC, "order-shipment-shipped")
    assert destination(event(target="Consumer.x")) == ("", "Consumer.x")
