"""Orders that somebody else's system publishes, with real processes: from its message to the customer's mail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import pytest

from consumers.registry import CONSUMERS
from schemas.events import EventType
from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Api
from tests.support.broker import subscribe
from tests.support.events import open_topic
from tests.support.order_events import order_event, standing
from tests.support.processes import Process, Processes, free_port
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import until

Pool = asyncpg.Pool
TOPOLOGY = CONSUMERS["order-intake"].topology((1,))
WORK, RETRY, DEAD = TOPOLOGY.work.name, TOPOLOGY.retries[0].name, TOPOLOGY.dead.name

PLANNED = {"shipments.0.status": "INVENTORY_ASSIGNED"}


class Shop:
    """Somebody else's system, written with nothing but a client library."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel) -> None:
        self.channel = channel

    async def announce(self, kind: str, number: str) -> None:
        body = order_event(kind, {"orderNumber": number, "payment.authorization": f"sandbox:ok#{number}", **PLANNED})
        exchange = await self.channel.get_exchange("VirtualTopic.ep.orders", ensure=False)
        message = aio_pika.Message(
            json.dumps(body).encode(), content_type="text/plain", message_id=f"ID:{kind}-{number}"
        )
        await exchange.publish(message, f"order-{kind}", mandatory=True)


@asynccontextmanager
async def shop(amqp_url: str) -> AsyncIterator[Shop]:
    async with await aio_pika.connect(amqp_url) as connection:
        yield Shop(await connection.channel(publisher_confirms=True, on_return_raises=True))


@pytest.fixture
def working(settings: Settings, smtp: SmtpSink) -> Settings:
    return settings.model_copy(
        update={
            "smtp_url": smtp.url,
            "payment_url": f"http://127.0.0.1:{free_port()}",
            "worker_retry_delays_s": (1,),
            "log_format": "json",
        }
    )


async def start(processes: Processes, settings: Settings, queue: str) -> Process:
    worker = processes.start("worker", queue, settings=settings)
    await worker.wait_for_line("worker_started")
    return worker


def settled(worker: Process) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    return [line for line in logged if line["event"] == "message_settled"]


async def in_inbox(pool: Pool, number: int) -> None:
    query = "SELECT count(*) = $1 FROM inbox WHERE consumer = $2"
    await until(lambda: pool.fetchval(query, number, TOPOLOGY.consumer), timeout=60)


async def test_an_order_by_event_is_completed_over_http_and_its_customer_mailed(
    processes: Processes, working: Settings, pool: Pool, smtp: SmtpSink, tmp_path: Path
) -> None:
    port = free_port()
    payments = working.payment_url.rpartition(":")[2]
    processes.start("sandbox-provider", "--port", payments, "--data-dir", str(tmp_path / "provider"))
    api = processes.start("api", "--port", str(port), settings=working)
    relay = processes.start("relay", settings=working)
    await relay.wait_for_line("relay_started")
    async with (
        shop(working.amqp_url) as publisher,
        subscribe(working.amqp_url, *EventType) as subscriber,
        aiohttp.ClientSession() as session,
    ):
        intake = await start(processes, working, "order-intake")
        for kind in ("released", "created", "released"):
            await publisher.announce(kind, "100001")
        await start(processes, working, "email")
        await in_inbox(pool, 2)
        await api.wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        caller = Api(f"http://127.0.0.1:{port}", await create_key(pool, partner="wms", scopes=list(Scope)), session)
        answer = await caller.complete("100001-1", "1Z999AA10123456784")
        assert (answer.status, answer.body["status"]) == (200, "SHIPPED")
        [mail] = await smtp.wait_for(1)
        await until(lambda: subscriber_has(subscriber, 3))
    assert mail.recipients == ["asa@example.com"]
    assert "1Z999AA10123456784" in mail.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    types = Counter(message.routing_key for message in subscriber.messages)
    assert types == {"order-shipment-created": 1, "order-shipment-released": 1, "order-shipment-shipped": 1}
    lines = settled(intake)
    assert {(line["consumer"], line["order_number"], line["process"]) for line in lines} == {
        ("orderIntakeHandler", "100001", "worker order-intake")
    }
    outcomes = Counter((line["outcome"], line.get("reason")) for line in lines)
    assert outcomes[("handled", None)] in {1, 2}
    assert set(outcomes) <= {
        ("handled", None),
        ("skipped", "already handled"),
        ("skipped", "the order is known as announced"),
    }
    assert "asa@example.com" not in intake.output()
    # Whoever asks for the cause of a shipment's first event is led to the message that brought the order.
    assert {line["event_id"] for line in lines} == {"ID:released-100001", "ID:created-100001"}


async def subscriber_has(subscriber: Any, number: int) -> bool:
    return len(await subscriber.read()) >= number


async def test_a_worker_killed_in_the_middle_of_fifty_orders_takes_each_in_once(
    processes: Processes, working: Settings, pool: Pool
) -> None:
    numbers = [str(300001 + n) for n in range(50)]
    worker = await start(processes, working, "order-intake")
    async with shop(working.amqp_url) as publisher, open_topic(working.amqp_url) as topic:
        for number in numbers[:20]:
            await publisher.announce("created", number)
            await publisher.announce("released", number)
        await in_inbox(pool, 40)
        async with pool.acquire() as connection, connection.transaction():
            # Every new order needs this row, so that all handlers stand in the middle of their transactions.
            await connection.execute("SELECT FROM stores FOR UPDATE")
            for number in numbers[20:]:
                await publisher.announce("released", number)
                await publisher.announce("created", number)
            await topic.wait_for_depth(WORK, 60 - working.worker_concurrency)
            await until(lambda: pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
            worker.kill()
            await worker.wait_for_exit()
            assert await pool.fetchval("SELECT count(*) FROM orders") == 20
        successor = await start(processes, working, "order-intake")
        await in_inbox(pool, 100)
        await topic.wait_for_depth(WORK, 0)
        successor.terminate()
        assert await successor.wait_for_exit() == 0
        assert [await topic.depth(queue) for queue in (WORK, RETRY, DEAD)] == [0, 0, 0]
    assert await pool.fetchval("SELECT count(*) FROM orders") == 50
    for number in numbers:
        found = await standing(pool, number)
        assert found["shipments"] == {f"{number}-1": "RELEASED"}
        assert found["events"] == {f"{number}-1": ["created", "released"]}
        assert found["authorization"] == f"sandbox:ok#{number}"
    assert {line["attempt"] for line in settled(successor)} == {1}, "a crash costs no attempt"
    assert "Traceback" not in successor.output()
