from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest

from consumers.inbox import Handler
from schemas.events import EventType
from schemas.topology import ATTEMPT_HEADER, DEAD_AT_HEADER, DEAD_REASON_HEADER
from service.settings import Settings
from tests.support.events import open_topic
from tests.support.mails import Page
from tests.support.rows import Line, ShipmentRow, insert_order, insert_parcel, insert_shipment
from tests.support.smtp_sink import SmtpSink
from tests.support.workers import EMAIL, working

WORK = EMAIL.topology(()).work.name
DEAD = EMAIL.topology(()).dead.name


@pytest.fixture
def mailing(settings: Settings, smtp: SmtpSink) -> Settings:
    return settings.model_copy(update={"smtp_url": smtp.url, "worker_retry_delays_s": (1, 1), "worker_concurrency": 4})


async def shipped(pool: asyncpg.Pool, number: str = "100001", **order: Any) -> ShipmentRow:
    async with pool.acquire() as connection:
        shipment = await insert_shipment(connection, await insert_order(connection, number, **order), status="SHIPPED")
        await insert_parcel(connection, shipment, tracking_url="https://ups.example/1Z")
    return shipment


async def test_one_message_is_one_mail(mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink) -> None:
    shipment = await shipped(pool)
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(shipment)
        (mail,) = await smtp.wait_for(1)
    assert (mail.sender, mail.recipients) == ("no-reply@localhost", ["asa@example.com"])
    assert mail.message["Subject"] == "Din order 100001 är på väg"
    assert mail.message["To"] == "Åsa Öberg <asa@example.com>"
    assert mail.message["From"] == "Butiken <no-reply@localhost>"
    assert mail.message["Message-ID"] == f"<{event_id}@localhost>"
    assert mail.message["X-Waybill-Request-Id"] == "req-1"
    html = mail.message.get_body(("html",))
    assert html is not None
    assert Page(html.get_content()).links == ["https://ups.example/1Z"]
    row = await pool.fetchrow("SELECT * FROM emails")
    assert row is not None
    assert (
        row["event_id"],
        row["shipment_id"],
        row["message_id"],
        row["recipient"],
        row["locale"],
        row["subject"],
    ) == (
        event_id,
        shipment.id,
        f"<{event_id}@localhost>",
        "asa@example.com",
        "sv-SE",
        "Din order 100001 är på väg",
    )
    assert await pool.fetchval(
        "SELECT count(*) FROM inbox WHERE consumer = $1 AND message_id = $2", EMAIL.name, event_id
    )


async def test_the_same_message_five_times_at_once_on_two_workers_is_one_mail(
    mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    shipment = await shipped(pool)
    hold = asyncio.Event()
    inside = asyncio.Event()

    def held(handler: Handler) -> Handler:
        async def handle(connection: Any, delivery: Any) -> Any:
            inside.set()
            await hold.wait()
            return await handler(connection, delivery)

        return handle

    async with open_topic(mailing.amqp_url) as topic, working(mailing, around=held), working(mailing, around=held):
        event_id = await topic.tell(shipment)
        await inside.wait()
        for _ in range(4):
            await topic.tell(shipment, event_id=event_id)
        await topic.wait_for_depth(WORK, 0)
        hold.set()
        await smtp.wait_for(1)
    async with open_topic(mailing.amqp_url) as topic:
        assert [await topic.depth(queue) for queue in (f"{WORK}.retry.1s", DEAD)] == [0, 0]
    assert len(smtp.messages) == 1
    assert await pool.fetchval("SELECT count(*) FROM emails") == 1


async def test_mails_that_the_server_does_not_want_now_arrive_once_each_later(
    mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    tries: Counter[str] = Counter()

    def not_before_the_third(address: str) -> str | None:
        tries[address] += 1
        return "451 4.3.0 later" if tries[address] < 3 else None

    smtp.reply_to_rcpt = not_before_the_third
    addresses = [f"customer{n}@example.com" for n in range(12)]
    shipments = [await shipped(pool, f"20000{n}", customer_email=address) for n, address in enumerate(addresses)]
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        for shipment in shipments:
            await topic.tell(shipment)
        await smtp.wait_for(len(shipments))
    assert sorted(mail.recipients[0] for mail in smtp.messages) == sorted(addresses)
    assert set(tries.values()) == {3}


async def test_a_mail_refused_for_good_is_dead_at_once_with_the_servers_words(
    mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    tries: list[str] = []

    def refuse(address: str) -> str:
        tries.append(address)
        return f"550 5.1.1 <{address}>: no such user here"

    smtp.reply_to_rcpt = refuse
    shipment = await shipped(pool)
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(shipment)
        dead = await topic.take(DEAD)
        assert dead.message_id == str(event_id)
        assert dead.headers[DEAD_REASON_HEADER] == "SMTP 550 5.1.1 <address> no such user here"
        assert dead.headers[ATTEMPT_HEADER] == 1
        assert isinstance(dead.headers[DEAD_AT_HEADER], str)
        assert await topic.depth(f"{WORK}.retry.1s") == 0
    assert len(tries) == 1
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 0, "so that it can be replayed"
    assert await pool.fetchval("SELECT count(*) FROM emails") == 0


async def test_a_mail_never_wanted_is_dead_after_the_last_delay_and_can_be_replayed(
    mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink
) -> None:
    tries: list[object] = []

    def later(envelope: object) -> str:
        tries.append(envelope)
        return "452 4.2.2 mailbox full"

    smtp.reply_to_data = later
    shipment = await shipped(pool)
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(shipment)
        dead = await topic.take(DEAD)
        assert dead.headers[DEAD_REASON_HEADER] == "SMTP 452 4.2.2 mailbox full (attempt 3 was the last)"
        assert dead.headers[ATTEMPT_HEADER] == 3
        assert len(tries) == 3
        smtp.reply_to_data = None
        await topic.publish(dead.body, event_id=event_id, queue=WORK)
        (mail,) = await smtp.wait_for(1)
    assert mail.message["Message-ID"] == f"<{event_id}@localhost>"


async def test_who_is_not_to_be_notified_is_not_mailed(mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink) -> None:
    quiet, loud = await shipped(pool), await shipped(pool, "100002")
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(quiet, notify_customer=False)
        await topic.tell(loud)
        (mail,) = await smtp.wait_for(1)
    assert "100002" in mail.message["Subject"]
    assert await pool.fetchval("SELECT count(*) FROM inbox WHERE message_id = $1", event_id) == 1


async def test_a_partial_shipment_says_what_follows(mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink) -> None:
    lines = (Line("1", "A-1", "Shirt", 5), Line("2", "B-2", "Trousers", 1), Line("3", "C-3", "Socks", 4))
    async with pool.acquire() as connection:
        order = await insert_order(connection, lines=lines, locale="en-GB", store="uk")
        first = await insert_shipment(connection, order, n=1, status="SHIPPED", quantities={"1": 1, "3": 4})
        await insert_shipment(connection, order, n=2, status="RELEASED", quantities={"1": 1})
        second = await insert_shipment(connection, order, n=3, status="SHIPPED", quantities={"1": 2})
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        await topic.tell(second)
        await smtp.wait_for(1)
        await topic.tell(first)
        await smtp.wait_for(2)
    later_one, earlier_one = (" ".join(body(mail.message).split()) for mail in smtp.messages)
    assert (
        "- Shirt (A-1): 2 pieces Still to come ------------- - Shirt (A-1): 2 pieces - Trousers (B-2): 1 piece"
        in later_one
    )
    assert "Socks" not in later_one
    assert "- Shirt (A-1): 1 piece - Socks (C-3): 4 pieces Still to come" in earlier_one
    assert "Still to come ------------- - Shirt (A-1): 4 pieces - Trousers (B-2): 1 piece We" in earlier_one


async def test_nothing_follows_of_a_cancelled_order(mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink) -> None:
    async with pool.acquire() as connection:
        order = await insert_order(connection, locale="en", status="CANCELLED")
        shipment = await insert_shipment(connection, order, status="SHIPPED", quantities={"43243": 1})
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        await topic.tell(shipment)
        (mail,) = await smtp.wait_for(1)
    assert "Still to come" not in body(mail.message)


@pytest.mark.parametrize(
    ("order", "told", "reason"),
    [
        ({"customer_email": "asa@example.com\r\nBcc: x@example.com"}, {}, "the customer's mail address is not valid"),
        ({"customer_email": "nobody at all"}, {}, "the customer's mail address is not valid"),
        ({}, {"shipment_number": "100001-9"}, "there is no such shipment"),
        ({}, {"kind": EventType.SHIPMENT_CREATED}, "expected ORDER_SHIPMENT_SHIPPED"),
    ],
)
async def test_what_can_never_be_mailed_is_dead(
    mailing: Settings, pool: asyncpg.Pool, order: dict[str, Any], told: dict[str, Any], reason: str
) -> None:
    shipment = await shipped(pool, **order)
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        # The topic's binding lets only shipped events through; a replay to the queue may bring others.
        await topic.tell(shipment, queue=WORK, **told)
        dead = await topic.take(DEAD)
    assert str(dead.headers[DEAD_REASON_HEADER]).startswith(reason)
    assert "example" not in str(dead.headers[DEAD_REASON_HEADER])


async def test_a_shipment_that_has_not_left_is_not_announced(mailing: Settings, pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        shipment = await insert_shipment(connection, await insert_order(connection), status="RELEASED")
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        await topic.tell(shipment)
        dead = await topic.take(DEAD)
    assert "not SHIPPED" in str(dead.headers[DEAD_REASON_HEADER])


def body(message: Any) -> str:
    return str(message.get_body(("plain",)).get_content())
