from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import delivery
from consumers.outcome import Rejected
from schemas.topology import ATTEMPT_HEADER

EVENT_ID = "019aa6a5-2f0c-7d7e-9c39-3d6a2f3f7a10"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY: dict[str, Any] = {
    "eventType": {"@class": "OrderEvent", "name": "ORDER_SHIPMENT_SHIPPED"},
    "guid": "100001-1",
    "data": {
        "orderNumber": "100001",
        "shipmentNumber": "100001-1",
        "store": "se-web",
        "status": "SHIPPED",
        "lines": [{"lineId": "1", "sku": "A", "quantity": 2}],
        "notifyCustomer": True,
        "sequence": 3,
        "addedLater": "unknown fields are nobody's business",
    },
}


def incoming(body: bytes | None = None, *, message_id: str | None = EVENT_ID, **headers: Any) -> Any:
    return SimpleNamespace(
        body=json.dumps(BODY).encode() if body is None else body,
        message_id=message_id,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def changed(**data: Any) -> bytes:
    return json.dumps({**BODY, "data": {**BODY["data"], **data}}).encode()


def test_an_event_is_read_with_what_came_along() -> None:
    message = incoming(traceparent=TRACE, waybill_request_id="req-1", waybill_attempt=2)
    read = delivery.read_delivery(message)
    assert (read.event_id, read.event.guid, read.request_id, read.traceparent, read.attempt) == (
        UUID(EVENT_ID),
        "100001-1",
        "req-1",
        TRACE,
        3,
    )
    assert delivery.trace_id(message) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("message_id", [None, "", "17", "not-a-uuid", EVENT_ID + "0"])
def test_a_message_without_a_uuid_cannot_be_told_from_its_duplicate(message_id: str | None) -> None:
    with pytest.raises(Rejected, match="message_id"):
        delivery.read_delivery(incoming(message_id=message_id))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: json_invalid"),
        (b"not json", "body: json_invalid"),
        (b"\xff\xfe\x00", "body: json_invalid"),
        ('{"guid": "ü"}'.encode("latin-1"), "body: json_invalid"),
        (b"[]", "body: model_type"),
        (b"{}", "eventType: missing, guid: missing, data: missing"),
        (changed(lines=None), "data.lines: list_type"),
        (changed(lines=[{"lineId": "1", "sku": "A", "quantity": 0}]), "data.lines.0.quantity: greater_than"),
        (b'{"guid": 1, "data": {"orderNumber": 1}}', " and "),
    ],
)
def test_what_is_no_event_is_rejected_with_the_place_and_not_the_value(body: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        delivery.read_delivery(incoming(body))
    assert reason in str(rejected.value)
    assert "input" not in str(rejected.value)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        delivery.read_delivery(incoming(body))
    assert str(rejected.value).isprintable()


@pytest.mark.parametrize(
    ("header", "attempt"), [(None, 1), (0, 1), (1, 2), (5, 6), (-3, 1), ("7", 1), (b"7", 1), (2.5, 1), ([], 1)]
)
def test_only_a_count_counts_attempts(header: Any, attempt: int) -> None:
    assert delivery.attempt(incoming(**({} if header is None else {ATTEMPT_HEADER: header}))) == attempt


@pytest.mark.parametrize(
    ("header", "request_id"),
    [
        (None, ""),
        (b"bytes", ""),
        ("req-1", "req-1"),
        ("req\r\nBcc: all@example.com", "reqBcc:all@example.com"),
        ("å b", "b"),
        ("x" * 500, "x" * 128),
    ],
)
def test_a_request_id_is_fit_for_a_mail_header(header: Any, request_id: str) -> None:
    assert delivery.request_id(incoming(**({} if header is None else {"waybill_request_id": header}))) == request_id


@pytest.mark.parametrize("header", [None, "", "nonsense", b"00", TRACE.upper(), TRACE[:-3]])
def test_a_malformed_traceparent_is_no_trace(header: Any) -> None:
    assert delivery.trace_id(incoming(**({} if header is None else {"traceparent": header}))) is None
