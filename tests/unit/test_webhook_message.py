from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from consumers.webhooks.due import Due, read_due
from consumers.webhooks.message import USER_AGENT, event_message, sample_message
from consumers.webhooks.signature import new_secret, show_secret, sign
from publishers import message as amqp
from tests.support.webhooks import verifies

BODY = '{"guid":  "100001-1",\t"data": {"name": "Åsa"}}'
NEW, OLD = b"n" * 32, b"o" * 32


def row(**columns: Any) -> dict[str, Any]:
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
        "secret": NEW,
        "previous_secret": None,
    } | columns


def due(**columns: Any) -> Due:
    columns = row(**columns)
    del columns["target"]
    return read_due(
        columns
        | {
            "id": 1,
            "lease": 1,
            "failures": 0,
            "endpoint_id": "whe_1",
            "partner": "Acme",
            "url": "https://x.example/?token=geheim",
        }
    )


def headers(**columns: Any) -> dict[str, str]:
    return event_message(due(**columns)).headers(datetime.now(UTC))


def test_the_public_sdk_reads_it_as_the_cloud_event_that_went_over_amqp() -> None:
    sent = event_message(due())
    read = from_binary(HTTPMessage(headers=sent.headers(datetime.now(UTC)), body=sent.body.encode()), JSONFormat())
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
    other = amqp.event_message(row())
    assert sent.body.encode() == other.body == BODY.encode()
    assert {name: value for name, value in headers().items() if name.startswith("ce-") or name == "traceparent"} == {
        name: value for name, value in other.headers.items() if name.startswith("ce-") or name == "traceparent"
    }


def test_it_is_named_by_the_event_and_signed_for_this_attempt() -> None:
    sent = event_message(due())
    first, second = (sent.headers(datetime(2026, 11, 21, 18, minute, 0, 900_000, UTC)) for minute in (40, 41))
    assert first["webhook-id"] == second["webhook-id"] == "0199a5b2-0000-7000-8000-000000000001"
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert first["webhook-signature"] != second["webhook-signature"]


def test_the_public_library_verifies_it() -> None:
    assert verifies(show_secret(NEW), BODY.encode(), headers())
    assert not verifies(show_secret(OLD), BODY.encode(), headers())
    assert not verifies(show_secret(NEW), BODY.replace("100001", "100002").encode(), headers())
    assert not verifies(show_secret(NEW), BODY.encode(), headers() | {"webhook-id": "another"})
    assert not verifies(show_secret(NEW), BODY.encode(), event_message(due()).headers(datetime(2026, 1, 1, tzinfo=UTC)))


def test_while_two_secrets_are_valid_either_verifies() -> None:
    signed = headers(previous_secret=OLD)
    assert len(signed["webhook-signature"].split(" ")) == 2
    for secret in (NEW, OLD):
        assert verifies(show_secret(secret), BODY.encode(), signed)
    assert due(previous_secret=OLD).keys == (NEW, OLD)


def test_no_representation_shows_a_secret() -> None:
    for shown in (repr(due(previous_secret=OLD)), repr(event_message(due(previous_secret=OLD)))):
        assert "100001-1" in shown
        assert not any(secret in shown for secret in ("nnnn", "oooo", "geheim"))


def test_it_says_what_it_is() -> None:
    assert headers().items() >= {"content-type": "application/json", "user-agent": USER_AGENT}.items()


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-ab\r\nx: y"])
def test_what_is_no_trace_is_left_out(traceparent: str) -> None:
    assert "traceparent" not in headers(traceparent=traceparent)


def test_a_sample_is_a_cloud_event_of_its_own_type() -> None:
    sent = sample_message((NEW,))
    read = from_binary(HTTPMessage(headers=sent.headers(datetime.now(UTC)), body=sent.body.encode()), JSONFormat())
    assert (read.get_type(), read.get_source(), read.get_id()) == ("waybill.test", "/waybill", sent.webhook_id)
    assert read.get_data() == {
        "eventType": {"@class": "OrderEvent", "name": "WAYBILL_TEST"},
        "guid": "test",
        "data": {},
    }
    assert verifies(show_secret(NEW), sent.body.encode(), sent.headers(datetime.now(UTC)))
    assert sample_message((NEW,)).webhook_id != sent.webhook_id


def test_secrets_are_long_random_and_in_the_librarys_form() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(first) == 32
    assert show_secret(first).startswith("whsec_")
    assert base64.b64decode(show_secret(first).removeprefix("whsec_")) == first


def test_signatures_are_the_specifications() -> None:
    # The example of the specification.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign(
        [key],
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body='{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
