"""What an operator does at night: `waybill queues`, `waybill dead …`, `waybill events …`, as processes of their own."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from consumers.registry import CONSUMERS
from schemas.topology import TOPIC
from service.settings import Settings
from tests.support.events import open_topic
from tests.support.processes import Processes
from tests.support.rows import insert_event, insert_order, insert_shipment
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import until

Pool = asyncpg.Pool
NAMES = CONSUMERS["email"].topology((1,))


@pytest.fixture
def operated(settings: Settings, smtp: SmtpSink) -> Settings:
    return Settings(
        database_url=settings.database_url,
        amqp_url=settings.amqp_url,
        smtp_url=smtp.url,
        worker_retry_delays_s=(1,),
    )


class Operator:
    def __init__(self, processes: Processes, settings: Settings) -> None:
        self.processes, self.settings = processes, settings

    async def run(self, *arguments: str, code: int = 0) -> str:
        process = self.processes.start(*arguments, settings=self.settings)
        assert await process.wait_for_exit() == code, process.output()
        return process.output()

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))


async def test_a_night_with_dead_letters(
    operated: Settings, pool: Pool, processes: Processes, smtp: SmtpSink, amqp_url: str
) -> None:
    operator = Operator(processes, operated)
    order = await insert_order(pool)
    shipments = [await insert_shipment(pool, order, n=n, quantities={"43243": 1}, status="SHIPPED") for n in (1, 2)]
    async with pool.acquire() as connection:
        events = [str(await insert_event(connection, shipment)) for shipment in shipments]
    smtp.reply_to_rcpt = lambda _: "550 5.1.1 no such user"
    relay = processes.start("relay", settings=operated)
    worker = processes.start("worker", "email", settings=operated)
    await relay.wait_for_line("relay_started")

    async def all_dead() -> bool:
        return worker.output().count('"outcome": "dead"') == 2

    await until(all_dead, timeout=40)
    state = await operator.json("queues")
    [mail] = [queue for queue in state["queues"] if queue["queue"] == "email"]
    assert (mail["ready"], mail["consumers"], mail["retrying"], mail["dead"]) == (0, 1, 0, 2)
    assert (state["outbox"]["waiting"], mail["oldest"] is not None) == (0, True)
    letters = await operator.json("dead", "list", "email")
    assert sorted(letter["id"] for letter in letters) == sorted(events)
    assert all("550" in letter["reason"] and letter["attempts"] == 1 for letter in letters)
    shown = json.loads(await operator.run("dead", "show", "email", events[0]))
    assert shown["body"]["guid"] == "100001-1"
    assert "asa@example.com" not in json.dumps(shown)

    smtp.reply_to_rcpt = None
    assert "1 would be replayed" in await operator.run("dead", "replay", "email", "--id", events[0], "--dry-run")
    assert "nothing was replayed" in await operator.run("dead", "replay", "email", "--id", "no-such", code=1)
    assert "say which" in await operator.run("dead", "replay", "email", code=2)
    async with open_topic(amqp_url) as topic:
        other = await topic.channel.declare_queue("somebody-else")
        await other.bind(TOPIC, "#")
        assert "1 replayed" in await operator.run("dead", "replay", "email", "--id", events[0])
        await smtp.wait_for(1)
        assert "1 dropped" in await operator.run("dead", "drop", "email", "--all", "--yes")
        assert await topic.depth("somebody-else") == 0
    assert await operator.json("dead", "list", "email") == []
    assert smtp.messages[0].message["X-Waybill-Event-Id"] == events[0]


async def test_a_hundred_dead_letters_become_a_hundred_mails(
    operated: Settings, pool: Pool, processes: Processes, smtp: SmtpSink, amqp_url: str
) -> None:
    operator = Operator(processes, operated)
    smtp.reply_to_rcpt = lambda _: "550 5.1.1 no such user"
    worker = processes.start("worker", "email", settings=operated)
    await worker.wait_for_line("worker_started")
    async with pool.acquire() as connection, open_topic(amqp_url) as topic:
        other = await topic.channel.declare_queue("somebody-else")
        events = []
        for n in range(100):
            order = await insert_order(connection, f"3{n:05}")
            events.append(str(await topic.tell(await insert_shipment(connection, order, status="SHIPPED"))))
        await topic.wait_for_depth(NAMES.dead.name, 100)
        await other.bind(TOPIC, "#")
        smtp.reply_to_rcpt = None
        assert "100 replayed" in await operator.run("dead", "replay", "email", "--all")
        mails = await smtp.wait_for(100)
        assert sorted(str(mail.message["X-Waybill-Event-Id"]) for mail in mails) == sorted(events)
        assert [await topic.depth(queue) for queue in ("somebody-else", NAMES.dead.name)] == [0, 0]


async def test_the_history_goes_to_one_queue_again(
    operated: Settings, pool: Pool, processes: Processes, amqp_url: str
) -> None:
    operator = Operator(processes, operated)
    order = await insert_order(pool)
    first = await insert_shipment(pool, order, n=1, quantities={"43243": 1}, status="SHIPPED")
    second = await insert_shipment(pool, order, n=2, quantities={"43243": 1}, status="SHIPPED")
    async with pool.acquire() as connection:
        ids = [str(await insert_event(connection, each, in_outbox=False)) for each in (first, second, first)]

    listed = await operator.json("events", "list")
    assert [event["id"] for event in listed] == ids[::-1]
    assert [event["id"] for event in await operator.json("events", "list", "--shipment", "100001-2")] == [ids[1]]
    assert await operator.json("events", "list", "--until", "2020-01-01") == []
    shown = json.loads(await operator.run("events", "show", ids[0]))
    assert (shown["body"]["guid"], shown["published"]) == ("100001-1", True)
    assert "no event has the id" in await operator.run("events", "show", "00000000-0000-0000-0000-000000000000", code=1)

    replay = ("events", "replay", "--queue", "subscriber")
    assert "no queue subscriber" in await operator.run(*replay, "--all", code=1)
    async with open_topic(amqp_url) as topic:
        await topic.channel.declare_queue("subscriber")
        await topic.channel.declare_queue("bystander")
        assert "say which" in await operator.run(*replay, code=2)
        assert "3 would be sent" in await operator.run(*replay, "--all", "--dry-run")
        assert "2 on their way" in await operator.run(*replay, "--shipment", "100001-1")
        # Again, before the relay has begun: what waits for the queue already is not sent twice.
        assert "3 on their way" in await operator.run(*replay, "--all")
        relay = processes.start("relay", settings=operated)
        await relay.wait_for_line("relay_started")
        assert sorted([(await topic.take("subscriber")).message_id for _ in ids]) == sorted(ids)
        await until(lambda: pool.fetchval("SELECT count(*) = 0 FROM outbox"))
        assert (await topic.depth("subscriber"), await topic.depth("bystander")) == (0, 0)


async def test_a_broker_that_is_away_is_named(operated: Settings, processes: Processes) -> None:
    operator = Operator(processes, operated.model_copy(update={"amqp_url": "amqp://127.0.0.1:1/"}))
    for arguments in (("queues",), ("dead", "list", "email"), ("events", "replay", "--queue", "q", "--all")):
        assert "WAYBILL_AMQP_URL: cannot connect" in await operator.run(*arguments, code=2)
    assert "there is no queue 'nope'" in await operator.run("dead", "list", "nope", code=2)
