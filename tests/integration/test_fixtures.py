from __future__ import annotations

import aio_pika
import aiosmtplib
import asyncpg
import pytest

from service.settings import Settings
from tests.support.processes import Processes
from tests.support.smtp_sink import SmtpSink


@pytest.mark.parametrize("order_number", ["first", "second"])
async def test_each_test_has_a_migrated_empty_database(pool: asyncpg.Pool, order_number: str) -> None:
    assert await pool.fetchval("SELECT count(*) FROM stores") == 0
    await pool.execute("INSERT INTO stores (code, name) VALUES ('same', 'same')")


@pytest.mark.parametrize("run", ["first", "second"])
async def test_each_test_has_an_empty_broker(settings: Settings, run: str) -> None:
    async with await aio_pika.connect(settings.amqp_url) as connection:
        queue = await (await connection.channel()).declare_queue(
            "same", durable=True, arguments={"x-queue-type": "quorum"}
        )
        assert queue.declaration_result.message_count == 0
        await (await connection.channel()).default_exchange.publish(aio_pika.Message(b"left behind"), "same")


async def test_the_smtp_sink_keeps_what_it_accepts_and_refuses_what_it_is_told_to(smtp: SmtpSink) -> None:
    smtp.reply_to_rcpt = lambda address: "550 5.1.1 nobody" if address.startswith("nobody") else None
    smtp.reply_to_data = lambda envelope: "451 4.3.0 later" if b"later" in envelope.content else None
    host, port = smtp.url.removeprefix("smtp://").split(":")
    async with aiosmtplib.SMTP(hostname=host, port=int(port)) as client:
        await client.sendmail("a@test", ["åsa@test"], "Subject: hej åäö\n\nbody".encode(), mail_options=["SMTPUTF8"])
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await client.sendmail("a@test", ["nobody@test"], b"Subject: no\n\n")
        with pytest.raises(aiosmtplib.SMTPDataError, match="later"):
            await client.sendmail("a@test", ["b@test"], b"Subject: later\n\n")
    (received,) = await smtp.wait_for(1)
    assert received.recipients == ["åsa@test"]
    assert received.message["Subject"] == "hej åäö"
    with pytest.raises(AssertionError, match="1 of 2 mails"):
        await smtp.wait_for(2, timeout=0.01)


async def test_processes_are_real_and_their_output_is_kept(processes: Processes) -> None:
    migrate = processes.start("migrate", env={"WAYBILL_PORT": "70000"})
    assert await migrate.wait_for_exit() == 2
    assert await migrate.wait_for_line("WAYBILL_PORT")
