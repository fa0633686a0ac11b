"""Messages that are no events, and what retries and dead letters keep of those that are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest

from consumers.delivery import Delivery
from consumers.outcome import Rejected, TryLater
from schemas.events import EventType, shipment_event
from schemas.topology import ATTEMPT_HEADER, DEAD_REASON_HEADER, TOPIC
from service.settings import Settings
from tests.support.events import open_topic
from tests.support.rows import OrderRow, ShipmentRow, event_data
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.workers import EMAIL, Recorder, working

WORK = EMAIL.topology(()).work.name
DEAD = EMAIL.topology(()).dead.name
EVENT_ID = "019aa6a5-2f0c-7d7e-9c39-3d6a2f3f7a10"
SHIPMENT = ShipmentRow(1, "100001-1", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1, 1), "worker_concurrency": 2}
    )


def event_body() -> bytes:
    return shipment_event(EventType.SHIPMENT_SHIPPED, event_data(SHIPMENT)).model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize(
    ("body", "message_id", "reason"),
    [
        (b"not json", EVENT_ID, "the body is not a shipment event: body: json_invalid"),
        (b"", EVENT_ID, "the body is not a shipment event: body: json_invalid"),
        (b"\xff\xfe\xfd", EVENT_ID, "the body is not a shipment event: body: json_invalid"),
        (b'{"guid": "100001-1"}', EVENT_ID, "the body is not a shipment event: eventType: missing, data: missing"),
        (event_body(), "17", "the message_id is missing or not a UUID"),
    ],
)
async def test_what_is_no_event_is_dead_at_once_and_the_next_one_is_handled(
    brief: Settings, body: bytes, message_id: str, reason: str
) -> None:
    recorder = Recorder()
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.publish(body, event_id=message_id)
        event_id = await topic.tell(SHIPMENT)
        await recorder.ended(1)
        dead = await topic.take(DEAD)
        assert (dead.body, dead.headers[DEAD_REASON_HEADER]) == (body, reason)
        assert await topic.depth(f"{WORK}.retry.1s") == 0
    assert [delivery.event_id for delivery in recorder.deliveries] == [event_id]


async def test_a_message_without_an_id_is_dead_at_once(brief: Settings, servers: Servers) -> None:
    vhost = urlsplit(brief.amqp_url).path.removeprefix("/")
    async with working(brief, handler=Recorder()), open_topic(brief.amqp_url) as topic:
        # Over HTTP, because every AMQP client gives a message an id if it has none.
        await asyncio.to_thread(
            management,
            servers.amqp_management_url,
            "POST",
            f"exchanges/{vhost}/{TOPIC}/publish",
            {
                "properties": {},
                "routing_key": EventType.SHIPMENT_SHIPPED.value,
                "payload": event_body().decode(),
                "payload_encoding": "string",
            },
        )
        dead = await topic.take(DEAD)
    assert dead.headers[DEAD_REASON_HEADER] == "the message_id is missing or not a UUID"


async def test_a_copy_to_retry_or_die_keeps_what_the_message_said(brief: Settings) -> None:
    recorder = Recorder()

    def fail(_: Delivery) -> None:
        raise TryLater("not yet")

    recorder.act = fail
    sent = aio_pika.Message(
        event_body(),
        headers={"ce-id": "1", "waybill-request-id": "req-7", "number": 5, "x-ours": "the broker's"},
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=str(uuid4()),
        correlation_id="c-1",
        timestamp=datetime(2026, 11, 21, 12, tzinfo=UTC),
        type="order-shipment-shipped",
        app_id="waybill",
        priority=3,
    )
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await (await topic.channel.get_exchange(TOPIC)).publish(sent, "order-shipment-shipped")
        dead = await topic.take(DEAD)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 2, 3]
    assert dead.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    for name in ("body", "content_type", "message_id", "correlation_id", "timestamp", "type", "app_id", "priority"):
        assert getattr(dead, name) == getattr(sent, name)
    assert {name: dead.headers[name] for name in ("ce-id", "waybill-request-id", "number")} == {
        "ce-id": "1",
        "waybill-request-id": "req-7",
        "number": 5,
    }
    assert not {"x-ours", "x-death"} & set(dead.headers)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**62,
        1.5,
        Decimal("1.25"),
        datetime(2026, 11, 21, tzinfo=UTC),
        bytearray(b"\xff\xfe"),
        [1, "a", None, {"x": bytearray(b"\xff")}],
        {"a": {"b": [1]}},
        "",
    ],
    ids=repr,
)
async def test_no_header_keeps_a_message_from_being_copied(brief: Settings, value: Any) -> None:
    async with working(brief, handler=Recorder()), open_topic(brief.amqp_url) as topic:
        await topic.publish(b"nonsense", event_id=uuid4(), headers={"odd": value})
        dead = await topic.take(DEAD)
    assert dead.headers["odd"] == value


async def test_a_header_that_is_not_utf_8_keeps_no_message_from_being_copied(brief: Settings) -> None:
    # Decoded as bytes, which no client library of ours would send.
    raw = aio_pika.Message(b"nonsense", message_id=str(uuid4()), headers={"odd": "\u00e5\u00e4"})
    async with working(brief, handler=Recorder()), open_topic(brief.amqp_url) as topic:
        connection = await topic.channel.get_underlay_channel()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pamqp.encode.long_string", _latin_1)
            await connection.basic_publish(
                raw.body, exchange=TOPIC, routing_key=EventType.SHIPMENT_SHIPPED.value, properties=raw.properties
            )
        dead = await topic.take(DEAD)
    assert dead.headers["odd"] == b"\xe5\xe4"


def _latin_1(value: str) -> bytes:
    return len(value).to_bytes(4, "big") + value.encode("latin-1")


async def test_a_retry_is_nobody_elses_business(brief: Settings) -> None:
    recorder = Recorder()

    def fail_at_first(delivery: Delivery) -> None:
        if delivery.attempt < 3:
            raise TryLater("not yet")

    recorder.act = fail_at_first
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        other = await topic.channel.declare_queue("Consumer.other", durable=True)
        await other.bind(TOPIC, "#")
        await topic.tell(SHIPMENT)
        await recorder.ended(1)
        assert await topic.depth("Consumer.other") == 1
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 2, 3]


@pytest.mark.parametrize("error", [ValueError("asa@example.com"), Rejected("never")])
async def test_a_failed_handler_leaves_no_trace_in_the_inbox(
    brief: Settings, pool: asyncpg.Pool, error: Exception
) -> None:
    recorder = Recorder()

    def fail(_: Delivery) -> None:
        raise error

    recorder.act = fail
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT)
        dead = await topic.take(DEAD)
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 0
    assert "asa" not in str(dead.headers[DEAD_REASON_HEADER])


async def test_a_handler_that_takes_too_long_is_tried_again(brief: Settings) -> None:
    recorder = Recorder()
    recorder.go_on.clear()
    impatient = brief.model_copy(update={"worker_handler_timeout_s": 0.2})
    async with working(impatient, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT)
        dead = await topic.take(DEAD)
    assert dead.headers[DEAD_REASON_HEADER] == "handling took too long (attempt 3 was the last)"
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 2, 3]


async def test_what_was_handled_before_is_not_handled_again(brief: Settings, pool: asyncpg.Pool) -> None:
    recorder = Recorder()
    event_id = uuid4()
    await insert_inbox(pool, EMAIL.name, event_id)
    await insert_inbox(pool, "another consumer", other_id := uuid4())
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT, event_id=event_id)
        await topic.tell(SHIPMENT, event_id=other_id)
        await recorder.ended(1)
        await topic.wait_for_depth(WORK, 0)
    assert [delivery.event_id for delivery in recorder.deliveries] == [other_id]


async def insert_inbox(pool: asyncpg.Pool, consumer: str, message_id: UUID) -> None:
    await pool.execute("INSERT INTO inbox (consumer, message_id) VALUES ($1, $2)", consumer, message_id)


async def test_a_forged_attempt_count_is_no_way_around_the_limit(brief: Settings) -> None:
    recorder = Recorder()

    def fail(_: Delivery) -> None:
        raise TryLater("not yet")

    recorder.act = fail
    headers: dict[str, Any] = {ATTEMPT_HEADER: -100}
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.publish(event_body(), event_id=uuid4(), headers=headers)
        await topic.take(DEAD)
    assert len(recorder.deliveries) == 3
