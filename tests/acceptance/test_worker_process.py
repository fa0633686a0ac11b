from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from service.settings import Settings
from tests.support.events import open_topic
from tests.support.processes import Process, Processes
from tests.support.rows import ShipmentRow, insert_order, insert_parcel, insert_shipment
from tests.support.smtp_sink import Received, SmtpSink
from tests.support.waiting import until
from tests.support.workers import EMAIL

TOPOLOGY = EMAIL.topology((1,))
WORK, DEAD, RETRY = TOPOLOGY.work.name, TOPOLOGY.dead.name, TOPOLOGY.retries[0].name
MAILS = 50


@pytest.fixture
def mailing(settings: Settings, smtp: SmtpSink) -> Settings:
    return settings.model_copy(update={"smtp_url": smtp.url, "worker_retry_delays_s": (1,), "log_format": "json"})


async def start(processes: Processes, settings: Settings) -> Process:
    worker = processes.start("worker", "email", settings=settings)
    await worker.wait_for_line("worker_started")
    return worker


async def insert_shipments(pool: asyncpg.Pool, number: int) -> list[ShipmentRow]:
    async with pool.acquire() as connection, connection.transaction():
        shipments = []
        for n in range(number):
            order = await insert_order(connection, f"3{n:05}", customer_email=f"customer{n}@example.com")
            shipment = await insert_shipment(connection, order, status="SHIPPED")
            await insert_parcel(connection, shipment)
            shipments.append(shipment)
    return shipments


def lines(worker: Process, event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    return [line for line in logged if line["event"] == event]


def message_ids(mails: list[Received]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for mail in mails:
        found[mail.recipients[0]].add(mail.message["Message-ID"])
    return found


async def test_a_worker_that_is_killed_in_the_middle_loses_no_mail(
    processes: Processes, mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    shipments = await insert_shipments(pool, MAILS)
    worker = await start(processes, mailing)
    async with open_topic(mailing.amqp_url) as topic:
        for shipment in shipments:
            await topic.tell(shipment)
        await smtp.wait_for(MAILS // 3)
        worker.kill()
        await worker.wait_for_exit()
        successor = await start(processes, mailing)
        await until(lambda: all_recorded(pool))
        successor.terminate()
        assert await successor.wait_for_exit() == 0
        assert [await topic.depth(queue) for queue in (RETRY, DEAD)] == [0, 0]
        # What may be left was handled before the kill, and not yet acknowledged.
        left = [(await topic.take(WORK)).message_id for _ in range(await topic.depth(WORK))]
    assert await pool.fetchval("SELECT count(*) FROM inbox WHERE message_id = ANY($1::uuid[])", left) == len(left)
    found = message_ids(smtp.messages)
    assert len(found) == MAILS
    assert {len(ids) for ids in found.values()} == {1}, "a duplicate must be recognisable by its Message-ID"
    twice = [address for address, number in Counter(mail.recipients[0] for mail in smtp.messages).items() if number > 1]
    assert len(twice) <= mailing.worker_concurrency, "only what was being sent in that moment may come twice"


async def all_recorded(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) = $1 FROM emails", MAILS))


async def test_a_worker_that_is_stopped_in_the_middle_finishes_what_it_began(
    processes: Processes, mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    shipments = await insert_shipments(pool, MAILS)
    worker = await start(processes, mailing)
    async with open_topic(mailing.amqp_url) as topic:
        for shipment in shipments:
            await topic.tell(shipment)
        await smtp.wait_for(5)
        worker.terminate()
        assert await worker.wait_for_exit() == 0
        sent = len(smtp.messages)
        assert await pool.fetchval("SELECT count(*) FROM emails") == sent
        assert [await topic.depth(queue) for queue in (WORK, RETRY, DEAD)] == [MAILS - sent, 0, 0]
        successor = await start(processes, mailing)
        await smtp.wait_for(MAILS)
        successor.terminate()
        assert await successor.wait_for_exit() == 0
    assert len(smtp.messages) == len(message_ids(smtp.messages)) == MAILS
    settled = [*lines(worker, "message_settled"), *lines(successor, "message_settled")]
    assert {(line["outcome"], line["attempt"]) for line in settled} == {("handled", 1)}
    assert "Traceback" not in worker.output() + successor.output()


async def test_every_delivery_is_one_line(
    processes: Processes, mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    (shipment,) = await insert_shipments(pool, 1)
    refusals = iter(["451 4.3.0 later", None])
    smtp.reply_to_rcpt = lambda _: next(refusals, None)
    worker = await start(processes, mailing)
    async with open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(shipment)
        await smtp.wait_for(1)
        await topic.tell(shipment, event_id=event_id)
        await topic.wait_for_depth(WORK, 0)
        await topic.publish(b"nonsense", event_id=event_id)
        await topic.take(DEAD)
    worker.terminate()
    assert await worker.wait_for_exit() == 0
    settled = lines(worker, "message_settled")
    common = {"consumer": EMAIL.name, "event_id": str(event_id), "request_id": "req-1", "process": "worker email"}
    assert all(line.items() >= common.items() for line in settled)
    assert {line["trace_id"] for line in settled} == {"0af7651916cd43dd8448eb211c80319c"}
    assert all(isinstance(line["duration_ms"], float) for line in settled)
    # The duplicate goes on as soon as the first one has committed, so that either may be told first.
    told = {(line["outcome"], line["attempt"], line["shipment_number"], line.get("reason")) for line in settled}
    assert len(settled) == 4
    assert told == {
        ("retry", 1, shipment.number, "SMTP 451 4.3.0 later"),
        ("handled", 2, shipment.number, None),
        ("skipped", 1, shipment.number, "already handled"),
        ("dead", 1, None, "the body is not a shipment event: body: json_invalid"),
    }
    assert "customer0" not in worker.output(), "a log is no place for a customer's address"
    others = [json.loads(line) for line in worker.output().splitlines() if line.startswith("{")]
    assert not [line for line in others if line["event"] != "message_settled" and "event_id" in line]


async def test_a_queue_with_other_arguments_ends_the_worker_with_their_names(
    processes: Processes, mailing: Settings
) -> None:
    async with open_topic(mailing.amqp_url) as topic:
        arguments = TOPOLOGY.work.arguments | {"x-delivery-limit": 7}
        await topic.channel.declare_queue(WORK, durable=True, arguments=arguments)
    worker = processes.start("worker", "email", settings=mailing)
    assert await worker.wait_for_exit() == 1
    assert f"waybill: queue {WORK} exists with other arguments: x-delivery-limit is 7 on the broker" in worker.output()
    assert "Traceback" not in worker.output()


@pytest.mark.parametrize(
    ("queue", "changes", "told"),
    [
        ("emails", {}, "there is no queue 'emails'; known: email"),
        ("email", {"smtp_url": ""}, "not set: WAYBILL_SMTP_URL"),
        ("email", {"smtp_url": "http://user:geheim@mail.example"}, "WAYBILL_SMTP_URL: must begin with one of smtp://"),
        ("email", {"mail_sender": "nobody"}, "WAYBILL_MAIL_SENDER: not a mail address"),
        ("email", {"mail_templates_dir": Path("/nowhere")}, "WAYBILL_MAIL_TEMPLATES_DIR: /nowhere is not a directory"),
    ],
)
async def test_a_wrong_setting_is_named(
    processes: Processes, mailing: Settings, queue: str, changes: dict[str, Any], told: str
) -> None:
    worker = processes.start("worker", queue, settings=mailing.model_copy(update=changes))
    assert await worker.wait_for_exit() == 2
    assert told in " ".join(worker.output().replace("│", " ").split())
    assert "geheim" not in worker.output()
    assert "Traceback" not in worker.output()


async def test_a_broker_that_refuses_us_is_waited_for_and_no_password_is_told(
    processes: Processes, mailing: Settings
) -> None:
    password = urlsplit(mailing.amqp_url).password
    assert password
    wrong = mailing.amqp_url.replace(f":{password}@", ":geheim@")
    worker = processes.start("worker", "email", settings=mailing.model_copy(update={"amqp_url": wrong}))
    await worker.wait_for_line("consumer_session_lost")
    worker.terminate()
    assert await worker.wait_for_exit() == 0
    assert "geheim" not in worker.output()
    assert password not in worker.output()
