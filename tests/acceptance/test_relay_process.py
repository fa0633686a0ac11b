"""`waybill relay` as operators run it: started, asked to stop, killed, and without its broker."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from yarl import URL

from consumers.registry import CONSUMERS
from publishers.wakeup import RelayWakeup
from service.dev.children import Children
from service.dev.servers_rabbitmq import VHOST, find_server, start_rabbitmq
from service.settings import Settings
from tests.support import rows
from tests.support.broker import subscribe
from tests.support.processes import Process, Processes
from tests.support.waiting import until

Pool = asyncpg.Pool
SHIPPED = "order-shipment-shipped"
# No worker runs here, so that the mail worker's queue keeps all that it is sent.
WORK_QUEUE = CONSUMERS["email"].topology((5,)).work


async def add(pool: Pool, number: int) -> list[str]:
    """Insert many events at once, and tell the relays."""
    async with pool.acquire() as connection:
        order = await rows.insert_order(connection, f"3{await connection.fetchval('SELECT count(*) FROM orders'):05}")
        shipment = await rows.insert_shipment(connection, order, status="SHIPPED")
        first = await rows.insert_event(connection, shipment)
        others = await connection.fetch(
            "WITH event AS ("
            "INSERT INTO events (id, shipment_id, sequence, type, subject, body, request_id, traceparent)"
            " SELECT gen_random_uuid(), shipment_id, 1 + n, type, subject, body, request_id, traceparent"
            " FROM events, generate_series(1, $1) n WHERE id = $2 RETURNING id)"
            " INSERT INTO outbox (event_id) SELECT id FROM event RETURNING event_id",
            number - 1,
            first,
        )
        await RelayWakeup().wake(connection)
    return [str(first), *(str(row["event_id"]) for row in others)]


async def emptied(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox")


async def start(processes: Processes, settings: Settings) -> Process:
    relay = processes.start("relay", settings=settings)
    await relay.wait_for_line("relay_started")
    return relay


async def mail_workers_queue(amqp_url: str) -> list[str]:
    async with subscribe(amqp_url, queue=WORK_QUEUE.name, arguments=WORK_QUEUE.arguments) as subscriber:
        return sorted(await subscriber.read())


async def test_it_drains_the_outbox_and_stops_when_asked(pool: Pool, settings: Settings, processes: Processes) -> None:
    waiting = await add(pool, 500)
    relay = await start(processes, settings)
    more = await add(pool, 1)
    await until(partial(emptied, pool))
    asked = time.monotonic()
    relay.terminate()
    assert await relay.wait_for_exit() == 0
    assert time.monotonic() - asked < 5
    assert await mail_workers_queue(settings.amqp_url) == sorted(waiting + more)
    lines = [json.loads(line) for line in relay.output().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "relay_batch"] == ["relay_started", "stop_requested"]
    batches = [line for line in lines if line["event"] == "relay_batch"]
    assert sum(batch["published"] for batch in batches) == 501
    assert all(batch["postponed"] == 0 and batch["oldest_age_s"] > 0 for batch in batches)
    assert {line["process"] for line in lines} == {"relay"}


async def test_killed_amid_publishing_it_loses_nothing(pool: Pool, settings: Settings, processes: Processes) -> None:
    events = await add(pool, 6000)
    hasty = settings.model_copy(update={"relay_batch_size": 100})
    for _ in range(3):
        left = await pool.fetchval("SELECT count(*) FROM outbox")
        relay = await start(processes, hasty)

        async def under_way(left: int = left) -> bool:
            return bool(await pool.fetchval("SELECT count(*) < $1 FROM outbox", left))

        await until(under_way)
        relay.kill()
        assert await relay.wait_for_exit() < 0
    assert not await emptied(pool), "killed before it was through"
    await start(processes, hasty)
    await until(partial(emptied, pool))
    arrived = await mail_workers_queue(settings.amqp_url)
    assert set(arrived) == set(events)
    # Each kill repeats at most the round that it cut off.
    assert len(arrived) <= len(events) + 3 * 100


async def test_two_of_them_publish_everything_once(pool: Pool, settings: Settings, processes: Processes) -> None:
    small = settings.model_copy(update={"relay_batch_size": 10})
    pair = [await start(processes, small) for _ in range(2)]
    events = await add(pool, 2000)
    await until(partial(emptied, pool))
    assert await mail_workers_queue(settings.amqp_url) == sorted(events)
    for relay in pair:
        assert "relay_batch" in relay.output(), "both had their share"


async def test_it_waits_for_a_broker_that_is_away_and_can_be_stopped_meanwhile(
    settings: Settings, processes: Processes
) -> None:
    nobody = URL(settings.amqp_url).with_host("127.0.0.1").with_port(1)
    relay = processes.start("relay", settings=settings.model_copy(update={"amqp_url": str(nobody)}))
    await relay.wait_for_line("broker_lost")
    relay.interrupt()
    assert await relay.wait_for_exit(timeout_s=5) == 0
    assert nobody.password is None or str(nobody.password) not in relay.output()


async def test_it_says_which_queue_differs_and_gives_up(settings: Settings, processes: Processes) -> None:
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(
            WORK_QUEUE.name, durable=True, arguments=WORK_QUEUE.arguments | {"x-delivery-limit": 7}
        )
    relay = processes.start("relay", settings=settings)
    assert await relay.wait_for_exit() == 1
    [complaint] = [line for line in relay.output().splitlines() if line.startswith("waybill: ")]
    for part in (WORK_QUEUE.name, "x-delivery-limit", "7", str(WORK_QUEUE.arguments["x-delivery-limit"])):
        assert part in complaint
    assert "Traceback" not in relay.output()


@pytest.mark.parametrize("missing", ["database_url", "amqp_url"])
async def test_it_names_the_setting_that_is_missing(settings: Settings, processes: Processes, missing: str) -> None:
    relay = processes.start("relay", settings=settings.model_copy(update={missing: ""}))
    assert await relay.wait_for_exit() == 2
    assert f"WAYBILL_{missing.upper()}" in relay.output()


@pytest.mark.skipif(find_server() is None, reason="stopping a broker takes an installed rabbitmq-server of our own")
async def test_a_broker_that_is_restarted_gets_everything(
    pool: Pool, settings: Settings, processes: Processes, tmp_path: Path
) -> None:
    folder = tmp_path / "broker"
    life = 0

    def start_broker() -> tuple[Children, str]:
        nonlocal life
        life += 1
        children = Children(roster=tmp_path / f"{life}.json", logs=tmp_path / f"logs-{life}")
        return children, start_rabbitmq(children, folder, server=find_server() or "").amqp_url + f"/{VHOST}"

    children, amqp_url = await asyncio.to_thread(start_broker)
    try:
        relay = await start(processes, settings.model_copy(update={"amqp_url": amqp_url}))
        before = await add(pool, 50)
        await until(partial(emptied, pool))

        await asyncio.to_thread(children.stop_all)
        during = await add(pool, 50)
        await relay.wait_for_line("broker_lost")
        assert await pool.fetchval("SELECT count(*) FROM outbox WHERE available_at <= now()") == 50

        children, again = await asyncio.to_thread(start_broker)
        assert again == amqp_url
        async with asyncio.timeout(10):
            await relay.wait_for_line("broker_found_again")
        await until(partial(emptied, pool))
        assert await mail_workers_queue(amqp_url) == sorted(before + during)
        relay.terminate()
        assert await relay.wait_for_exit() == 0
    finally:
        await asyncio.to_thread(children.stop_all)
