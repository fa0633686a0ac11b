"""A database that goes away: the consumer waits, and no message pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from consumers import inbox
from consumers.delivery import Delivery
from consumers.inbox import handle_once
from consumers.outcome import DatabaseAway, TryLater
from consumers.registry import Consumer
from schemas.events import EventType, shipment_event
from service.settings import Settings
from service.wiring import open_pool
from tests.support.events import open_topic
from tests.support.proxy import open_proxy
from tests.support.rows import OrderRow, ShipmentRow, event_data
from tests.support.servers import Servers
from tests.support.waiting import until
from tests.support.workers import EMAIL, GROUPED, Recorder, Worker, working

WORK = EMAIL.topology(()).work.name
DEAD = EMAIL.topology(()).dead.name
SHIPMENT = ShipmentRow(1, "100001-1", "SHIPPED", OrderRow(1, "100001", "se-web", ()), {})


@pytest.fixture
def brief(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"smtp_url": "smtp://127.0.0.1:1", "worker_retry_delays_s": (1,), "worker_concurrency": 4}
    )


@pytest.fixture(params=[EMAIL, GROUPED], ids=["alone", "together"])
def consumer(request: pytest.FixtureRequest) -> Consumer:
    return request.param


class Server:
    """The database server, seen by its administrator."""

    def __init__(self, connection: asyncpg.Connection, database: str) -> None:
        self._connection = connection
        self._database = database

    async def end_sessions(self) -> None:
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", self._database
        )

    async def close_database(self) -> None:
        await self._connection.execute(f'ALTER DATABASE "{self._database}" ALLOW_CONNECTIONS false')
        await self.end_sessions()

    async def open_database(self) -> None:
        await self._connection.execute(f'ALTER DATABASE "{self._database}" ALLOW_CONNECTIONS true')

    async def refuse_writes(self) -> None:
        await self._connection.execute(f'ALTER DATABASE "{self._database}" SET default_transaction_read_only = on')
        await self.end_sessions()

    async def take_writes(self) -> None:
        await self._connection.execute(f'ALTER DATABASE "{self._database}" RESET default_transaction_read_only')
        await self.end_sessions()


@pytest.fixture
async def server(servers: Servers, brief: Settings) -> AsyncIterator[Server]:
    connection = await asyncpg.connect(servers.database_admin_url)
    try:
        yield Server(connection, urlsplit(brief.database_url).path.removeprefix("/"))
    finally:
        await connection.close()


async def paused(worker: Worker) -> None:
    async def not_consuming() -> bool:
        return not worker.consuming.is_set()

    await until(not_consuming)


async def test_a_transaction_that_loses_its_connection_begins_again(brief: Settings, server: Server) -> None:
    recorder = Recorder()
    recorder.go_on.clear()
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        for _ in range(3):
            await topic.tell(SHIPMENT)
        await recorder.begun(3)
        await server.end_sessions()
        recorder.go_on.set()
        await recorder.ended(6)
        await topic.wait_for_depth(WORK, 0)
        assert [await topic.depth(queue) for queue in (f"{WORK}.retry.1s", DEAD)] == [0, 0]
    assert {delivery.attempt for delivery in recorder.deliveries} == {1}
    assert len({delivery.event_id for delivery in recorder.deliveries}) == 3
    assert await rows_in_inbox(brief) == 3


async def test_a_database_that_is_closed_is_waited_for_with_the_messages_in_their_queue(
    brief: Settings, server: Server, consumer: Consumer
) -> None:
    recorder = Recorder()
    async with (
        working(brief, consumer=consumer, handler=recorder) as worker,
        open_topic(brief.amqp_url) as topic,
    ):
        await server.close_database()
        for _ in range(10):
            await topic.tell(SHIPMENT)
        await paused(worker)
        await topic.wait_for_depth(WORK, 10)
        assert [await topic.depth(queue) for queue in (f"{WORK}.retry.1s", DEAD)] == [0, 0]
        await server.open_database()
        await recorder.ended(10)
    assert {delivery.attempt for delivery in recorder.deliveries} == {1}
    assert await rows_in_inbox(brief) == 10


async def test_a_stop_ends_the_wait_for_the_database(brief: Settings, server: Server) -> None:
    async with working(brief, handler=Recorder()) as worker, open_topic(brief.amqp_url) as topic:
        await server.close_database()
        await topic.tell(SHIPMENT)
        await paused(worker)
    await server.open_database()
    async with open_topic(brief.amqp_url) as topic:
        assert await topic.depth(WORK) == 1


async def test_a_server_that_has_become_a_standby_is_waited_for(
    brief: Settings, server: Server, consumer: Consumer
) -> None:
    recorder = Recorder()
    async with (
        working(brief, consumer=consumer, handler=recorder) as worker,
        open_topic(brief.amqp_url) as topic,
    ):
        await server.refuse_writes()
        await topic.tell(SHIPMENT)
        await paused(worker)
        await server.take_writes()
        await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1]


async def test_a_network_that_is_down_is_waited_for(brief: Settings, consumer: Consumer) -> None:
    address = urlsplit(brief.database_url)
    assert address.hostname
    assert address.port
    recorder = Recorder()
    async with open_proxy(address.hostname, address.port) as proxy, open_topic(brief.amqp_url) as topic:
        through = brief.database_url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{proxy.port}")
        cut_off = brief.model_copy(update={"database_url": through})
        async with working(cut_off, consumer=consumer, handler=recorder) as worker:
            await proxy.down()
            await topic.tell(SHIPMENT)
            await paused(worker)
            await proxy.up()
            await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1]


async def test_an_unforeseen_error_is_the_databases_if_the_database_does_not_answer(
    brief: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    answers = iter([False])

    async def answer(_: object) -> bool:
        return next(answers, True)

    def fail_at_first(_: Delivery) -> None:
        if len(recorder.deliveries) == 1:
            raise TimeoutError

    monkeypatch.setattr(inbox, "database_answers", answer)
    recorder.act = fail_at_first
    async with working(brief, handler=recorder), open_topic(brief.amqp_url) as topic:
        await topic.tell(SHIPMENT)
        await recorder.ended(1)
    assert [delivery.attempt for delivery in recorder.deliveries] == [1, 1]


async def test_a_duplicate_waits_for_the_first_but_not_for_ever(brief: Settings) -> None:
    impatient = brief.model_copy(update={"lock_timeout_s": 0.1})
    recorder = Recorder()
    recorder.go_on.clear()
    async with open_pool(impatient, name="test", size=2) as pool:
        delivery = _delivery()
        first = asyncio.create_task(handle_once(pool, consumer="c", delivery=delivery, handler=recorder))
        await recorder.begun(1)
        with pytest.raises(TryLater, match="being handled elsewhere"):
            await handle_once(pool, consumer="c", delivery=delivery, handler=recorder)
        recorder.go_on.set()
        await first
    assert len(recorder.finished) == 1


async def test_no_connection_to_be_had_is_a_database_away(brief: Settings, server: Server) -> None:
    async with open_pool(brief, name="test", size=1) as pool:
        await server.close_database()
        assert not await inbox.database_answers(pool)
        with pytest.raises(DatabaseAway):
            await handle_once(pool, consumer="c", delivery=_delivery(), handler=Recorder())
        await server.open_database()
        assert await inbox.database_answers(pool)


def _delivery() -> Delivery:
    return Delivery(uuid4(), shipment_event(EventType.SHIPMENT_SHIPPED, event_data(SHIPMENT)), "req-1", "", 1)


async def rows_in_inbox(settings: Settings) -> int:
    connection = await asyncpg.connect(settings.database_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM inbox"))
    finally:
        await connection.close()
