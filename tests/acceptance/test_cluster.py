"""A cluster of three brokers loses a node while shipments are completed: nobody notices.

`WAYBILL_TEST_CLUSTER_SHIPMENTS=5000` makes more of them; `--log-cli-level=INFO` shows the figures.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage

from consumers.depths import Depths, depths
from consumers.registry import CONSUMERS
from schemas.topology import TOPIC
from service.dev.servers_rabbitmq import find_server
from service.settings import Settings
from tests.support.api import Api
from tests.support.cluster import Cluster, Node, open_cluster
from tests.support.processes import Processes
from tests.support.rows import insert_order, insert_shipment
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import until

Pool = asyncpg.Pool

SHIPMENTS = int(os.environ.get("WAYBILL_TEST_CLUSTER_SHIPMENTS", "500"))
CALLERS = 16
PATIENCE_S = 60 + SHIPMENTS / 10
EMAIL = CONSUMERS["email"].topology((1,))

pytestmark = [
    pytest.mark.skipif(find_server() is None, reason="killing a node takes an installed rabbitmq-server of our own"),
    pytest.mark.timeout(300 + SHIPMENTS / 5),
]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with open_cluster(find_server() or "") as opened:
        yield opened


async def released(pool: Pool, number: int) -> list[str]:
    limit = asyncio.Semaphore(8)

    async def release(n: int) -> str:
        async with limit, pool.acquire() as connection:
            order = await insert_order(connection, f"3{n:05}", payment_authorization=f"sandbox:ok#{n}")
            return (await insert_shipment(connection, order)).number

    # The first by itself: it makes the store.
    return [await release(1), *await asyncio.gather(*(release(n) for n in range(2, number + 1)))]


async def complete_all(api: Api, numbers: Sequence[str]) -> Counter[int]:
    limit = asyncio.Semaphore(CALLERS)

    async def complete(number: str) -> int:
        async with limit:
            return (await api.complete(number, f"TN-{number}")).status

    return Counter(await asyncio.gather(*map(complete, numbers)))


@asynccontextmanager
async def subscribe(*, declared_at: Node, reading_from: Node) -> AsyncIterator[list[str]]:
    """Receive the events by a queue of somebody else's; yield the ids that come. Its leader is at `declared_at`."""
    received: list[str] = []

    async def keep(message: AbstractIncomingMessage) -> None:
        received.append(message.headers["ce-id"])  # type: ignore[arg-type]
        await message.ack()

    async with await aio_pika.connect(declared_at.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("somebody-else", durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(TOPIC, "order-shipment-shipped")
    async with await aio_pika.connect(reading_from.amqp_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=100)
        await (await channel.get_queue("somebody-else")).consume(keep)
        yield received


async def reached(count: Callable[[], int], number: int) -> None:
    async def enough() -> bool:
        return count() >= number

    await until(enough, timeout=PATIENCE_S)


async def email_depths(node: Node) -> Depths:
    async with await aio_pika.connect(node.amqp_url) as connection:
        return await depths(connection, EMAIL)


async def test_a_node_that_dies_costs_no_event_and_repeats_no_mail(
    *,
    cluster: Cluster,
    database_settings: Settings,
    api: Api,
    pool: Pool,
    smtp: SmtpSink,
    processes: Processes,
) -> None:
    numbers = await released(pool, SHIPMENTS)
    half, most = SHIPMENTS // 2, SHIPMENTS * 9 // 10
    settings = Settings(
        database_url=database_settings.database_url,
        amqp_url=cluster.amqp_url,
        smtp_url=smtp.url,
        worker_retry_delays_s=EMAIL.retry_delays_s,
    )
    relay = processes.start("relay", settings=settings)
    await relay.wait_for_line("relay_started")
    # The relay declares the queues, so that the node that it has chosen also leads them.
    leader = (await asyncio.to_thread(cluster.queue, EMAIL.work.name))["leader"]
    await until(partial(connected, cluster, "waybill relay", leader))
    victim = next(node for node in cluster.nodes if node.name == leader)
    survivor = next(node for node in cluster.nodes if node is not victim)
    worker = processes.start("worker", "email", settings=settings)
    await worker.wait_for_line("worker_started")

    async with subscribe(declared_at=victim, reading_from=survivor) as received:
        began = time.monotonic()
        answers = asyncio.create_task(complete_all(api, numbers[:half]))
        await reached(lambda: len(received), SHIPMENTS // 4)
        cluster.kill(victim)
        killed, before = time.monotonic(), len(received)
        assert before < SHIPMENTS
        await relay.wait_for_line("broker_found_again")
        found_s = time.monotonic() - killed
        assert await answers == {200: half}
        assert await complete_all(api, numbers[half:most]) == {200: most - half}
        # Two nodes do the work of three.
        await reached(lambda: len(smtp.messages), most)
        await until(partial(emptied, pool), timeout=PATIENCE_S)
        assert set(await asyncio.to_thread(cluster.running)) == {node.name for node in cluster.nodes} - {leader}

        back = asyncio.create_task(asyncio.to_thread(cluster.start, victim))
        assert await complete_all(api, numbers[most:]) == {200: SHIPMENTS - most}
        await reached(lambda: len(smtp.messages), SHIPMENTS)
        await until(lambda: pool.fetchval("SELECT count(*) = $1 FROM emails", SHIPMENTS), timeout=PATIENCE_S)
        all_s = time.monotonic() - began
        await back
        assert await asyncio.to_thread(cluster.running) == {node.name for node in cluster.nodes}

        events = {str(row["id"]) for row in await pool.fetch("SELECT id FROM events")}
        await until(partial(seen, events, received), timeout=PATIENCE_S)
        await until(partial(emptied, pool), timeout=PATIENCE_S)
        # Once the worker has ended, whatever it had not settled would be in the queue again.
        await until(partial(settled, survivor), timeout=PATIENCE_S)
        worker.terminate()
        assert await worker.wait_for_exit() == 0
        assert await email_depths(survivor) == Depths(ready=0, consumers=0, retrying=0, dead=0)

    assert len(events) == SHIPMENTS
    assert set(received) == events
    assert Counter(mail.message["X-Waybill-Event-Id"] for mail in smtp.messages) == dict.fromkeys(events, 1)
    assert len({mail.message["Message-ID"] for mail in smtp.messages}) == SHIPMENTS
    logging.getLogger(__name__).info(
        "%d shipments: %d events received before the kill, %d more than once; relay at another node after %.1f s;"
        " first completion to last mail %.1f s",
        *(SHIPMENTS, before, len(received) - len(events), found_s, all_s),
    )


async def connected(cluster: Cluster, connection_name: str, node: str) -> bool:
    return await asyncio.to_thread(cluster.connected_to, connection_name) == {node}


async def emptied(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox")


async def seen(events: set[str], received: list[str]) -> bool:
    return events <= set(received)


async def settled(node: Node) -> bool:
    return (await email_depths(node)).ready == 0
