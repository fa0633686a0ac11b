"""The runbook's "Restore from a backup", step by step, with the statement that it prints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from publishers.broker import open_session
from publishers.relay import Pace, run_once
from service.settings import Settings
from service.wiring import open_pool
from tests.support.api import Api, serve_api
from tests.support.broker import subscribe
from tests.support.databases import Databases
from tests.support.events import open_topic
from tests.support.rows import insert_order, insert_shipment
from tests.support.sandbox import Sandbox
from tests.support.smtp_sink import SmtpSink
from tests.support.workers import EMAIL, working

Pool = asyncpg.Pool
RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
SHIPPED = "order-shipment-shipped"
PACE = Pace(batch_size=100, poll_s=1, publish_timeout_s=10)
TOPOLOGY = EMAIL.topology((1,))

# What had become of each order's shipment when the database was lost. The last four were completed after the backup.
MAILED_BEFORE = "300001"
PUBLISHED_LATER = "300002"
FORGOTTEN_MAILED = "300003"
FORGOTTEN_PUBLISHED = "300004"
FORGOTTEN = "300005"
FORGOTTEN_DECLINED_FIRST = "300006"
KNOWN = (MAILED_BEFORE, PUBLISHED_LATER)
MAILED = (MAILED_BEFORE, PUBLISHED_LATER, FORGOTTEN_MAILED)
ORDERS = (*KNOWN, FORGOTTEN_MAILED, FORGOTTEN_PUBLISHED, FORGOTTEN, FORGOTTEN_DECLINED_FIRST)


@pytest.fixture
def mailing(settings: Settings, sandbox: Sandbox, smtp: SmtpSink) -> Settings:
    return settings.model_copy(update={"smtp_url": smtp.url, "payment_url": sandbox.url, "worker_retry_delays_s": (1,)})


async def test_money_events_and_mails_are_right_after_a_restore(
    mailing: Settings, databases: Databases, sandbox: Sandbox, smtp: SmtpSink
) -> None:
    async with subscribe(mailing.amqp_url, SHIPPED) as subscriber:
        await _live_until_the_backup(mailing, smtp)
        with databases.copy(mailing.database_url) as backup:
            await _live_until_the_crash(mailing, smtp)
            captured = sandbox.ledger()
            assert len(captured) == len(ORDERS)
            published = len(await subscriber.read())

            restored = mailing.model_copy(update={"database_url": backup})
            async with _serving(restored) as (pool, api):
                # Step 3. The order whose payment was changed is taken in again first.
                await _pay_otherwise(pool, FORGOTTEN_DECLINED_FIRST)
                for number in ORDERS:
                    assert await _insist(api, number) == (409 if number in KNOWN else 200)
                assert sandbox.ledger() == captured, "nothing was taken twice"
                # Step 4.
                await pool.execute("CREATE TABLE mailed (shipment_number text)")
                await pool.executemany("INSERT INTO mailed VALUES ($1)", [(f"{number}-1",) for number in MAILED])
                await pool.execute(_statement())
                # Step 5.
                async with working(restored), open_topic(restored.amqp_url) as topic:
                    await _relay(pool, restored)
                    await smtp.wait_for(len(ORDERS))
                    dead = await topic.take(TOPOLOGY.dead.name)
                    await topic.wait_for_depth(TOPOLOGY.work.name, 0)
                assert "the history holds another event" in str(dead.headers)
        assert _mails(smtp) == dict.fromkeys(ORDERS, 1)
        # One that the outbox still held, and four that were shipped anew.
        assert len(await subscriber.read()) == published + 5


async def _live_until_the_backup(mailing: Settings, smtp: SmtpSink) -> None:
    async with _serving(mailing) as (pool, api):
        for number in ORDERS:
            payment = "sandbox:decline" if number == FORGOTTEN_DECLINED_FIRST else f"sandbox:ok#{number}"
            await insert_shipment(pool, await insert_order(pool, number, payment_authorization=payment))
        async with working(mailing):
            assert await _insist(api, MAILED_BEFORE) == 200
            await _relay(pool, mailing)
            await smtp.wait_for(1)
        assert await _insist(api, PUBLISHED_LATER) == 200


async def _live_until_the_crash(mailing: Settings, smtp: SmtpSink) -> None:
    async with _serving(mailing) as (pool, api):
        async with working(mailing):
            assert await _insist(api, FORGOTTEN_MAILED) == 200
            await _relay(pool, mailing)
            await smtp.wait_for(3)
        assert await _insist(api, FORGOTTEN_PUBLISHED) == 200
        await _relay(pool, mailing)
        assert await _insist(api, FORGOTTEN) == 200
        assert (await api.complete(f"{FORGOTTEN_DECLINED_FIRST}-1")).status == 500
        await _pay_otherwise(pool, FORGOTTEN_DECLINED_FIRST)
        assert await _insist(api, FORGOTTEN_DECLINED_FIRST) == 200


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[tuple[Pool, Api]]:
    async with open_pool(settings, name="tests") as pool, serve_api(settings, pool) as api:
        yield pool, api


async def _insist(api: Api, number: str) -> int:
    """Complete as callers do: what is answered with 5xx is repeated, a few times."""
    status = 0
    for _ in range(4):
        status = (await api.complete(f"{number}-1")).status
        if status < 500:
            break
    return status


async def _pay_otherwise(pool: Pool, number: str) -> None:
    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:ok#other' WHERE order_number = $1", number)


async def _relay(pool: Pool, settings: Settings) -> None:
    async with open_session(settings.amqp_url, name="tests") as session:
        while await run_once(pool, session, pace=PACE, required={SHIPPED}):
            pass


def _statement() -> str:
    """Return the runbook's own SQL."""
    (block,) = re.findall(r"```sql\n(.*?)```", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def _mails(smtp: SmtpSink) -> Counter[str]:
    return Counter(re.findall(r"\b3\d{5}\b", str(mail.message["Subject"]))[0] for mail in smtp.messages)
