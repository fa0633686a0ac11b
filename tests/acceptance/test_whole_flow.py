"""From the HTTP call to the mail, with real processes: what callers are told, the provider's ledger, the events that an
independent queue receives and the mails must agree one to one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import pytest
from yarl import URL

from schemas.topology import TOPIC
from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import COMPLETE, Answer, Api
from tests.support.processes import Process, Processes, free_port
from tests.support.proxy import Proxy, open_proxy
from tests.support.rows import insert_order, insert_shipment
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import until

Pool = asyncpg.Pool
DEMO_ORDERS = Path(__file__).parents[2] / "service/dev/demo/orders.jsonl"


@dataclass
class Subscriber:
    """A queue of somebody else's, bound to the topic by the published contract."""

    received: list[aio_pika.abc.AbstractIncomingMessage] = field(default_factory=list)

    async def wait_for(self, number: int) -> None:
        async def enough() -> bool:
            return len(self.received) >= number

        await until(enough)

    def shipments(self) -> list[str]:
        return sorted(json.loads(message.body)["guid"] for message in self.received)


@asynccontextmanager
async def subscribe(amqp_url: str) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber()
    connection = await aio_pika.connect(amqp_url)
    try:
        channel = await connection.channel()
        topic = await channel.declare_exchange(TOPIC, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("somebody-else", durable=True)
        await queue.bind(topic, "order-shipment-shipped")

        async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await message.ack()
            subscriber.received.append(message)

        await queue.consume(keep)
        yield subscriber
    finally:
        await connection.close()


@dataclass
class System:
    """Two API processes, a relay, a mail worker and the sandbox provider, all of them processes of their own."""

    apis: list[Api]
    settings: Settings
    processes: Processes
    worker: Process
    broker: Proxy
    session: aiohttp.ClientSession

    async def complete_all(self, numbers: list[str]) -> list[Answer]:
        limit = asyncio.Semaphore(16)

        async def complete(index: int, number: str) -> Answer:
            async with limit:
                return await self.apis[index % 2].complete(number, f"TN-{number}")

        return await asyncio.gather(*(complete(index, number) for index, number in enumerate(numbers)))

    async def ledger(self) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.settings.payment_url}/ledger") as response:
            entries: list[dict[str, Any]] = await response.json()
            return entries

    async def start_worker(self) -> None:
        self.worker = self.processes.start("worker", "email", settings=self.settings)
        await self.worker.wait_for_line("worker_started")


@pytest.fixture
async def system(
    settings: Settings, pool: Pool, processes: Processes, smtp: SmtpSink, tmp_path: Path
) -> AsyncIterator[System]:
    payments, ports = free_port(), [free_port(), free_port()]
    amqp = URL(settings.amqp_url)
    async with open_proxy(amqp.host or "", amqp.port or 5672) as broker, aiohttp.ClientSession() as session:
        settings = Settings(
            database_url=settings.database_url,
            amqp_url=str(amqp.with_host("127.0.0.1").with_port(broker.port)),
            smtp_url=smtp.url,
            payment_url=f"http://127.0.0.1:{payments}",
            worker_retry_delays_s=(1,) * 10,
            # Longer than the slowest capture of the demo orders.
            capture_timeout_s=5,
        )
        processes.start("sandbox-provider", "--port", str(payments), "--data-dir", str(tmp_path / "provider"))
        started = [processes.start("api", "--port", str(port), settings=settings) for port in ports]
        relay = processes.start("relay", settings=settings)
        key = await create_key(pool, partner="acceptance", scopes=list(Scope))
        apis = [Api(f"http://127.0.0.1:{port}", key, session) for port in ports]
        for process, api in zip(started, apis, strict=True):
            await process.wait_until_ready(f"{api.url}/readyz")
        await relay.wait_for_line("relay_started")
        # One after the other: both declare the same queues, and an old broker under load may fail a quorum queue that
        # is made twice at once.
        worker = processes.start("worker", "email", settings=settings)
        await worker.wait_for_line("worker_started")
        yield System(apis, settings, processes, worker, broker, session)


async def released(pool: Pool, count: int) -> list[str]:
    numbers = []
    for number in range(1, count + 1):
        order = await insert_order(pool, f"2{number:05}", payment_authorization=f"sandbox:ok#{number}")
        numbers.append((await insert_shipment(pool, order)).number)
    return numbers


def mailed(smtp: SmtpSink, numbers: list[str]) -> Counter[str]:
    """Count the mails per tracking number, which names its shipment."""
    text = [str(mail.message.get_body(("plain",)).get_content()) for mail in smtp.messages]  # type: ignore[union-attr]
    return Counter(number for number in numbers for body in text if f"TN-{number}" in body.split())


async def test_the_demo_orders_agree_in_all_four_ledgers(
    system: System, pool: Pool, smtp: SmtpSink, amqp_url: str
) -> None:
    load = system.processes.start("orders", "import", str(DEMO_ORDERS), settings=system.settings)
    assert await load.wait_for_exit() == 0, load.output()
    async with subscribe(amqp_url) as subscriber:
        numbers = [
            row["shipment_number"]
            for row in await pool.fetch("SELECT shipment_number FROM shipments WHERE status = 'RELEASED' ORDER BY id")
        ]
        # Among them are a refusal, a provider that is out of service twice, and one whose answer is lost: who gets no
        # 200 asks again, as callers do.
        shipped: list[str] = []
        for _ in range(4):
            asked = [number for number in numbers if number not in shipped]
            answers = await system.complete_all(asked)
            assert {answer.status for answer in answers} <= {200, 500, 503}
            shipped += [number for number, answer in zip(asked, answers, strict=True) if answer.status == 200]
        assert sorted(set(numbers) - set(shipped)) == ["100006-1"], "the refused one"
        await subscriber.wait_for(len(shipped))
        await smtp.wait_for(len(shipped))
        again = await system.complete_all(shipped)
    assert Counter(answer.status for answer in again) == {409: len(shipped)}
    assert subscriber.shipments() == sorted(shipped)
    assert mailed(smtp, numbers) == dict.fromkeys(shipped, 1)
    captured = {
        row["idempotency_key"]: (row["amount"], row["currency"])
        for row in await pool.fetch("SELECT * FROM captures WHERE state = 'CAPTURED' AND amount > 0")
    }
    ledger = await system.ledger()
    assert {entry["idempotency_key"]: (entry["amount"], entry["currency"]) for entry in ledger} == captured
    assert len(ledger) == len(captured)


async def test_fifty_calls_over_two_processes(system: System, pool: Pool, smtp: SmtpSink, amqp_url: str) -> None:
    order = await insert_order(pool, payment_authorization="sandbox:slow:200")
    await insert_shipment(pool, order)
    async with subscribe(amqp_url) as subscriber:
        answers = await asyncio.gather(*(api.complete("100001-1") for _ in range(25) for api in system.apis))
        assert Counter(answer.status for answer in answers) == {200: 1, 409: 49}
        [other] = await released(pool, 1)
        await system.complete_all([other])
        # The other shipment's mail comes after all that the first could have caused.
        await smtp.wait_for(2)
        await subscriber.wait_for(2)
    assert subscriber.shipments() == ["100001-1", other]
    assert len(smtp.messages) == 2
    assert len(await system.ledger()) == 2


async def test_a_broker_that_is_away_costs_no_completion_no_event_and_no_mail(
    system: System, pool: Pool, smtp: SmtpSink, amqp_url: str
) -> None:
    numbers = await released(pool, 100)
    async with subscribe(amqp_url) as subscriber:
        await system.broker.down()
        answers = await system.complete_all(numbers)
        assert Counter(answer.status for answer in answers) == {200: 100}
        assert (subscriber.received, smtp.messages) == ([], [])
        await system.broker.up()
        await subscriber.wait_for(100)
        await smtp.wait_for(100, timeout=60)
    assert Counter(subscriber.shipments()) == dict.fromkeys(numbers, 1)
    assert mailed(smtp, numbers) == dict.fromkeys(numbers, 1)
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_worker_killed_in_the_middle_loses_no_mail(system: System, pool: Pool, smtp: SmtpSink) -> None:
    numbers = await released(pool, 60)
    await system.complete_all(numbers)
    await smtp.wait_for(5)
    system.worker.kill()
    await system.start_worker()
    await until(lambda: pool.fetchval("SELECT count(*) = 60 FROM emails"), timeout=60)
    counted = mailed(smtp, numbers)
    assert set(counted) == set(numbers)
    # Twice only in the one documented window, and then with the same Message-ID.
    twice = Counter(str(mail.message["Message-ID"]) for mail in smtp.messages)
    assert len(twice) == 60
    assert len(smtp.messages) <= 60 + system.settings.worker_concurrency


async def test_a_request_id_runs_from_the_call_to_the_mail(system: System, pool: Pool, smtp: SmtpSink) -> None:
    await insert_shipment(pool, await insert_order(pool))
    api = system.apis[0]
    headers = {"API-Authorization": api.key.secret, "X-Request-Id": "wms-4711"}
    answer = await api.call("POST", COMPLETE, json={"shipmentNumber": "100001-1"}, headers=headers)
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, "wms-4711")
    [mail] = await smtp.wait_for(1)
    assert mail.message["X-Waybill-Request-Id"] == "wms-4711"
    line = json.loads(await system.worker.wait_for_line("message_settled"))
    assert (line["request_id"], line["shipment_number"]) == ("wms-4711", "100001-1")
