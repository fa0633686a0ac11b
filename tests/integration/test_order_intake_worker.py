"""Orders that other systems publish on the topic, with a real broker and a real database between them and us."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import asyncpg
import pytest

from consumers import dead_letters
from consumers.inbox import Connection, Handler
from consumers.outcome import Done, Handled, Skipped, TryLater
from consumers.registry import CONSUMERS
from schemas.events import EventType, shipment_event
from schemas.topology import ATTEMPT_HEADER, DEAD_REASON_HEADER
from service.settings import Settings
from tests.support.events import Topic, open_topic
from tests.support.order_events import encoded, order_event, standing
from tests.support.rows import OrderRow, ShipmentRow, event_data
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.waiting import until
from tests.support.workers import working

Pool = asyncpg.Pool

INTAKE = CONSUMERS["order-intake"]
TOPOLOGY = INTAKE.topology((1,))
WORK, RETRY, DEAD = TOPOLOGY.work.name, TOPOLOGY.retries[0].name, TOPOLOGY.dead.name

JMS_ID = "ID:shop-7f3e-1763750000000-1:1:1:1:1"
PLANNED = {"shipments.0.status": "INVENTORY_ASSIGNED"}
RELEASED = {"100001-1": "RELEASED"}
BOTH_EVENTS = {"100001-1": ["created", "released"]}


class Shop:
    """An independent system that knows the topic's name and a client library, and nothing of Waybill's code."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel, exchange: aio_pika.abc.AbstractExchange) -> None:
        self.channel, self.exchange = channel, exchange

    async def publish(self, kind: str, body: dict[str, Any] | bytes, **properties: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.exchange.publish(aio_pika.Message(content, **properties), f"order-{kind}", mandatory=True)


@asynccontextmanager
async def shop(amqp_url: str) -> AsyncIterator[Shop]:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        yield Shop(channel, await channel.get_exchange("VirtualTopic.ep.orders", ensure=True))


class Watched:
    """The consumer's own handler, and what became of each message that reached it."""

    def __init__(self) -> None:
        self.done: list[Done] = []
        self.postponed: list[str] = []

    def around(self, handling: Handler) -> Handler:
        async def watched(connection: Connection, delivery: Any) -> Done:
            try:
                done = await handling(connection, delivery)
            except TryLater as reason:
                self.postponed.append(str(reason))
                raise
            self.done.append(done)
            return done

        return watched


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(update={"worker_retry_delays_s": (1,)})


@pytest.fixture
def watched() -> Watched:
    return Watched()


@asynccontextmanager
async def taking_in(settings: Settings, watched: Watched) -> AsyncIterator[tuple[Shop, Topic]]:
    async with (
        working(settings, consumer=INTAKE, around=watched.around),
        shop(settings.amqp_url) as publisher,
        open_topic(settings.amqp_url) as topic,
    ):
        yield publisher, topic


async def settled(pool: Pool, number: int) -> None:
    """Return once the inbox has `number` messages."""
    await until(lambda: pool.fetchval("SELECT count(*) = $1 FROM inbox WHERE consumer = $2", number, INTAKE.name))


async def test_an_order_by_event_is_taken_in_and_released(brief: Settings, pool: Pool, watched: Watched) -> None:
    async with taking_in(brief, watched) as (shop, topic):
        await shop.publish("created", order_event("created", PLANNED), headers={"waybill-request-id": "shop-1"})
        await settled(pool, 1)
        assert (await standing(pool))["shipments"] == {"100001-1": "INVENTORY_ASSIGNED"}
        await shop.publish("released", order_event("released", PLANNED), headers={"waybill-request-id": "shop-2"})
        await settled(pool, 2)
        assert [await topic.depth(queue) for queue in (WORK, RETRY, DEAD)] == [0, 0, 0]
    found = await standing(pool)
    assert (found["shipments"], found["events"]) == (RELEASED, BOTH_EVENTS)
    rows = await pool.fetch("SELECT type, request_id FROM events ORDER BY seq")
    assert [tuple(row) for row in rows] == [("order-shipment-created", "shop-1"), ("order-shipment-released", "shop-2")]
    assert watched.done == [Handled(), Handled()]


@pytest.mark.parametrize(
    "properties",
    [
        {"message_id": str(uuid4())},
        {"message_id": JMS_ID, "content_type": "text/plain", "headers": {"JMSType": "TextMessage"}},
    ],
    ids=["uuid", "jms"],
)
async def test_a_message_that_comes_twice_is_handled_once(
    brief: Settings, pool: Pool, watched: Watched, properties: dict[str, Any]
) -> None:
    async with taking_in(brief, watched) as (shop, topic):
        for _ in range(5):
            await shop.publish("released", order_event("released"), **properties)
        await shop.publish("created", order_event("created", {"orderNumber": "100002"}), message_id="the last")
        await settled(pool, 2)
        await topic.wait_for_depth(WORK, 0)
    assert watched.done.count(Handled()) == len(watched.done) == 2
    assert (await standing(pool))["events"] == BOTH_EVENTS


async def test_a_jms_message_without_any_id_is_handled_once(
    brief: Settings, pool: Pool, watched: Watched, servers: Servers
) -> None:
    vhost = urlsplit(brief.amqp_url).path.removeprefix("/")
    async with taking_in(brief, watched) as (_, topic):
        for kind in ("released", "created", "released", "created"):
            # Over HTTP, because every AMQP client of Python gives a message an id if it has none.
            await asyncio.to_thread(
                management,
                servers.amqp_management_url,
                "POST",
                f"exchanges/{vhost}/VirtualTopic.ep.orders/publish",
                {
                    "properties": {"content_type": "text/plain", "delivery_mode": 1},
                    "routing_key": f"order-{kind}",
                    "payload": json.dumps(order_event(kind, PLANNED)),
                    "payload_encoding": "string",
                },
            )
        await settled(pool, 2)
        await topic.wait_for_depth(WORK, 0)
        assert await topic.depth(DEAD) == 0
    # Whichever came first was the one that created the order; both the same message again were known.
    assert len(watched.done) == 2
    assert (await standing(pool))["events"] == BOTH_EVENTS


async def test_two_messages_with_one_id_by_mistake_are_two(brief: Settings, pool: Pool, watched: Watched) -> None:
    async with taking_in(brief, watched) as (shop, _):
        await shop.publish("created", order_event("created", PLANNED), message_id="100001")
        await shop.publish("released", order_event("released", PLANNED), message_id="100001")
        await settled(pool, 2)
    assert (await standing(pool))["shipments"] == RELEASED


async def test_repeated_under_new_ids_and_out_of_order_it_ends_the_same(
    brief: Settings, pool: Pool, watched: Watched
) -> None:
    numbers = [str(100001 + n) for n in range(10)]
    messages = [(kind, number) for number in numbers for kind in ("created", "released") for _ in range(3)]
    random.shuffle(messages)
    async with taking_in(brief, watched) as (shop, topic):
        for kind, number in messages:
            await shop.publish(kind, order_event(kind, {"orderNumber": number, **PLANNED}))
        await settled(pool, len(messages))
        assert [await topic.depth(queue) for queue in (RETRY, DEAD)] == [0, 0]
    for number in numbers:
        found = await standing(pool, number)
        assert found["shipments"] == {f"{number}-1": "RELEASED"}
        assert found["events"] == {f"{number}-1": ["created", "released"]}
    assert watched.done.count(Skipped("the order is known as announced")) >= 4 * len(numbers)


async def test_a_message_that_contradicts_what_is_known_is_dead_with_the_fields(
    brief: Settings, pool: Pool, watched: Watched
) -> None:
    contradictory = order_event("created", {"customer.email": "bo@example.com", "lines.0.quantity": 9})
    async with taking_in(brief, watched) as (shop, topic):
        await shop.publish("released", order_event("released"))
        await settled(pool, 1)
        await shop.publish("created", contradictory)
        dead = await topic.take(DEAD)
        await shop.publish("created", order_event("created"))
        await settled(pool, 2)
        assert await topic.depth(RETRY) == 0
    assert json.loads(dead.body) == contradictory
    assert dead.headers[ATTEMPT_HEADER] == 1
    assert dead.headers[DEAD_REASON_HEADER] == (
        "Order 100001 can no longer be changed: customer.email: differs; lines[0].quantity: 2 -> 9"
    )
    found = await standing(pool)
    assert (found["shipments"], found["events"]) == (RELEASED, BOTH_EVENTS)
    assert await pool.fetchval("SELECT customer_email FROM orders") == "asa@example.com"


SHIPPED = shipment_event(
    EventType.SHIPMENT_SHIPPED,
    event_data(ShipmentRow(1, "100001-1", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})),
).model_dump_json(by_alias=True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "The body is not valid JSON: "),
        (b"", "The body is not valid JSON: "),
        (encoded(order_event("released"))[:-1], "The body is not valid JSON: "),
        (
            b'{"eventType": {"@class": "OrderEvent", "name": "ORDER_RELEASED"}, "guid": "20000", "data": {}}',
            "data.store: ",
        ),
        (encoded(order_event("created", {"lines.0.quantity": 0})), "data.lines[0].quantity: expected a whole number"),
        (encoded(order_event("created", {"shippingAmount": "0.001"})), "shippingAmount: "),
        (encoded(order_event("released", {"status": "ONHOLD", "shipments": []})), "data.status: "),
        (SHIPPED.encode(), "eventType.name: "),
    ],
)
async def test_a_wrong_body_is_dead_at_once_with_the_field_and_the_next_one_is_handled(
    brief: Settings, pool: Pool, watched: Watched, body: bytes, reason: str
) -> None:
    async with taking_in(brief, watched) as (shop, topic):
        await shop.publish("created", body)
        await shop.publish("created", order_event("created", {"orderNumber": "100009"}))
        await settled(pool, 1)
        dead = await topic.take(DEAD)
        assert await topic.depth(RETRY) == 0
    assert dead.body == body
    assert reason in str(dead.headers[DEAD_REASON_HEADER])
    assert "asa@example.com" not in str(dead.headers)
    assert [row["order_number"] for row in await pool.fetch("SELECT order_number FROM orders")] == ["100009"]


async def test_an_order_that_another_process_works_on_is_taken_in_later(
    brief: Settings, pool: Pool, watched: Watched
) -> None:
    impatient = brief.model_copy(update={"lock_timeout_s": 0.3, "worker_retry_delays_s": (1,) * 5})
    async with taking_in(impatient, watched) as (shop, topic):
        await shop.publish("created", order_event("created", PLANNED))
        await settled(pool, 1)
        async with pool.acquire() as other, other.transaction():
            await other.execute("SELECT FROM orders FOR UPDATE")
            await shop.publish("released", order_event("released"))
            await topic.wait_for_depth(RETRY, 1)
        await settled(pool, 2)
        assert await topic.depth(DEAD) == 0
    assert set(watched.postponed) == {"another process is working on this order"}
    assert (await standing(pool))["events"] == BOTH_EVENTS


async def test_a_dead_order_is_taken_in_once_what_it_needed_is_there(
    brief: Settings, pool: Pool, watched: Watched
) -> None:
    async with taking_in(brief, watched) as (shop, topic):
        await shop.publish("released", order_event("released", {"currency": ...}))
        await topic.wait_for_depth(DEAD, 1)
        assert await pool.fetchval("SELECT count(*) FROM orders") == 0
        await pool.execute("INSERT INTO stores (code, name, currency) VALUES ('se-web', 'Butiken', 'SEK')")
        async with await aio_pika.connect(brief.amqp_url) as connection:
            reasons: list[str] = []
            replayed = await dead_letters.replay(
                connection, TOPOLOGY, wanted=lambda _: True, on_letter=lambda letter: reasons.append(letter.reason)
            )
        assert (replayed, reasons) == (1, ["currency: Field required, because the store has none"])
        await settled(pool, 1)
    assert (await standing(pool))["shipments"] == RELEASED


async def test_nothing_of_a_failed_message_stays(brief: Settings, pool: Pool, watched: Watched) -> None:
    def failing(handling: Handler) -> Handler:
        async def fail(connection: Connection, delivery: Any) -> Done:
            await handling(connection, delivery)
            raise ValueError("asa@example.com")

        return fail

    impatient = brief.model_copy(update={"worker_retry_delays_s": ()})
    async with working(impatient, consumer=INTAKE, around=failing), shop(brief.amqp_url) as publisher:
        await publisher.publish("released", order_event("released"))
        async with open_topic(brief.amqp_url) as topic:
            dead = await topic.take(DEAD)
    assert dead.headers[DEAD_REASON_HEADER] == "unexpected ValueError (attempt 1 was the last)"
    for table in ("orders", "stores", "shipments", "events", "outbox", "inbox"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0
