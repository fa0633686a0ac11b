from __future__ import annotations

import asyncpg
import pytest

from service.settings import Settings
from tests.support.events import open_topic
from tests.support.rows import insert_order, insert_parcel, insert_shipment
from tests.support.smtp_sink import SmtpSink
from tests.support.workers import working


@pytest.fixture
def mailing(settings: Settings, smtp: SmtpSink) -> Settings:
    return settings.model_copy(update={"smtp_url": smtp.url, "worker_retry_delays_s": (1, 1), "worker_concurrency": 4})


async def test_one_message_is_one_mail(mailing: Settings, pool: asyncpg.Pool, smtp: SmtpSink) -> None:
    async with pool.acquire() as connection:
        shipment = await insert_shipment(connection, await insert_order(connection), status="SHIPPED")
        await insert_parcel(connection, shipment)
    async with working(mailing), open_topic(mailing.amqp_url) as topic:
        event_id = await topic.tell(shipment)
        (mail,) = await smtp.wait_for(1)
    assert mail.recipients == ["asa@example.com"]
    assert str(event_id) in mail.message["Message-ID"]
