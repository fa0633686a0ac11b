"""Messages of systems that are not Waybill: what is read of them, and as what the inbox knows them again."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.order_intake.handler import OrderIntakeHandler
from consumers.order_intake.message import LARGEST_BODY, inbox_id, read_order
from consumers.outcome import LONGEST_REASON, Handled, Rejected, Skipped, decide
from consumers.registry import CONSUMERS
from schemas.events import EventType
from schemas.order_events import OrderEventType
from service.commands.relay import required_types
from tests.support.order_events import encoded, order_event
from tests.support.rows import TRACEPARENT

EVENT_ID = "019aa6a5-2f0c-7d7e-9c39-3d6a2f3f7a10"
JMS_ID = "ID:shop-7f3e-1763750000000-1:1:1:1:1"


def incoming(body: dict[str, Any] | bytes, *, message_id: str | None = EVENT_ID, **headers: Any) -> Any:
    content = body if isinstance(body, bytes) else encoded(body)
    return SimpleNamespace(
        body=content, message_id=message_id, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_an_order_event_is_read_with_what_came_along() -> None:
    body = order_event("released", addedLater="unknown fields are nobody's business")
    read = read_order(incoming(body, traceparent=TRACEPARENT, waybill_request_id="req-1", waybill_attempt=2))
    assert (read.event_id, read.event.guid, read.request_id, read.traceparent, read.attempt) == (
        UUID(EVENT_ID),
        "100001",
        "req-1",
        TRACEPARENT,
        3,
    )
    assert read.event.kind is OrderEventType.RELEASED
    assert read.event.order.customer.name == "Åsa Öberg"


def test_the_message_in_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[2] / "docs/orders.md").read_text()
    (example,) = [
        block for block in re.findall(r"^```json\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE) if "guid" in block
    ]
    event = read_order(incoming(example.encode())).event
    assert (event.kind, event.order.order_number) == (OrderEventType.RELEASED, "100001")


def test_spelling_is_taken_as_it_comes() -> None:
    plain = order_event("created", guid=20000)
    del plain["data"]["orderNumber"], plain["eventType"]["@class"]
    read = read_order(incoming(b"\xef\xbb\xbf" + encoded(plain)))
    assert (read.event.kind, read.event.order.order_number) == (OrderEventType.CREATED, "20000")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "event: The body is not valid JSON: "),
        (b"not json", "event: The body is not valid JSON: "),
        ('{"guid": "ü"}'.encode("latin-1"), "event: The body is not valid JSON: "),
        (b"\xff\xfe{\x00}\x00", "event: The body is not valid JSON: "),
        (b"[" * 100_000, "event: The body is not valid JSON: "),
        (b"[]", "event: body: Input should be an object"),
        (b"{}", "eventType: Field required; guid: Field required; data: Field required"),
        (order_event("created", data={}), "data.store: Field required; data.customer: Field required"),
        (order_event("created", {"lines.0.unitPrice": "1,50"}), "data.lines[0].unitPrice: expected a decimal number"),
        (order_event("created", {"customer.email": "asa"}), "data.customer.email: expected an e-mail address"),
        (order_event("created", {"shipments.0.lines": {"9": 1}}), "event: shipments[0].lines.9: the order has no line"),
        (order_event("created", guid="100002"), "event: guid, data.orderNumber: expected the same number"),
        (order_event("created", guid="no number"), "guid: String should match"),
        (order_event("created", eventType={"name": "ORDER_CANCELLED"}), "eventType.name: Input should be 'ORDER_CR"),
        (order_event("created", eventType={"@class": "Cart", "name": "ORDER_CREATED"}), "eventType.@class: Input"),
        (order_event("created", eventType="ORDER_CREATED"), "eventType: "),
        (
            order_event("released", {"status": "ONHOLD", "shipments": []}),
            "event: data.status: a released order is not ONHOLD",
        ),
        (
            order_event("released", {"waitingForPayment": True, "shipments": []}),
            "event: data.waitingForPayment: a released order is not waiting",
        ),
        (b" " * (LARGEST_BODY + 1), "the body is larger than 1024 KiB"),
    ],
)
def test_a_wrong_body_is_rejected_with_the_field_and_not_the_value(body: Any, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        read_order(incoming(body))
    assert reason in str(rejected.value)
    assert not {"Åsa", "asa@", "Storgatan", "sandbox:ok", "1,50"} & set(str(rejected.value).replace(":", " ").split())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(Rejected):
        read_order(incoming(body))


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_no_value_of_a_field_breaks_the_reader(value: Any) -> None:
    for field in ("lines", "shipments", "payment", "customer", "store"):
        with suppress(Rejected):
            read_order(incoming(json.dumps(order_event("created", {field: value})).encode()))


def test_a_reason_fits_into_a_header_whatever_the_sender_wrote() -> None:
    names = {f"\u202e\n{'x' * 9000}{n}": 0 for n in range(30)}
    with pytest.raises(Rejected) as rejected:
        read_order(incoming(order_event("created", {"shipments.0.lines": names})))
    dead = decide(rejected.value, 1, (5,))
    assert len(dead.reason) == LONGEST_REASON
    assert dead.reason.isprintable()


def test_a_uuid_is_taken_at_its_word() -> None:
    assert inbox_id(incoming(b"1")) == inbox_id(incoming(b"2")) == UUID(EVENT_ID)


@pytest.mark.parametrize("message_id", [JMS_ID, "17", "100001", None, ""])
def test_another_id_or_none_is_known_again_together_with_the_body(message_id: str | None) -> None:
    known = inbox_id(incoming(b"1", message_id=message_id))
    assert known.version == 5
    assert known == inbox_id(incoming(b"1", message_id=message_id))
    assert known != inbox_id(incoming(b"2", message_id=message_id))
    assert known != inbox_id(incoming(b"1", message_id="another"))


def test_the_id_of_a_message_never_changes_between_versions() -> None:
    # What the inboxes of running installations hold.
    assert inbox_id(incoming(b"{}", message_id=JMS_ID)) == UUID("d25878d4-f345-5ca7-a2e9-969534ee253c")
    assert inbox_id(incoming(b"{}", message_id=None)) == UUID("105bb430-04b4-5a31-8140-ed5510bc0f7a")


async def test_the_handler_passes_the_order_on_with_its_cause() -> None:
    calls: list[tuple[Any, Any, dict[str, str]]] = []

    async def take_in(_connection: Any, order: Any, kind: Any, **cause: str) -> bool:
        calls.append((order.order_number, kind, cause))
        return len(calls) == 1

    handler = OrderIntakeHandler(take_in)
    told = read_order(incoming(order_event("released"), traceparent=TRACEPARENT, waybill_request_id="req-1"))
    silent = read_order(incoming(order_event("created"), message_id=JMS_ID, traceparent="nonsense"))
    connection: Any = None
    assert await handler(connection, told) == Handled()
    assert await handler(connection, silent) == Skipped("the order is known as announced")
    (first, second) = (cause for _, _, cause in calls)
    assert [(number, kind) for number, kind, _ in calls] == [("100001", "order-released"), ("100001", "order-created")]
    assert (first["request_id"], second["request_id"]) == ("req-1", str(silent.event_id))
    # A span of our own within the sender's trace, or a trace of our own.
    (version, trace, span, flags) = first["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACEPARENT.split("-")[1], "01")
    assert span != TRACEPARENT.split("-")[2]
    assert second["traceparent"].split("-")[1] != trace


def test_what_others_publish_is_nothing_that_waybill_publishes() -> None:
    assert not set(OrderEventType) & {kind.value for kind in EventType}
    topologies = [consumer.topology((5,)) for consumer in CONSUMERS.values()]
    assert required_types(topologies) <= {kind.value for kind in EventType}
    assert required_types([CONSUMERS["order-intake"].topology((5,))]) == set()
