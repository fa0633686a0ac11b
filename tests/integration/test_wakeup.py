"""Being told of new events, and what happens when the words are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs
from yarl import URL

from publishers import wakeup as wakeups
from publishers.broker import open_session
from publishers.relay import Pace, run
from publishers.wakeup import CHANNEL, RelayWakeup, Wakeup, listen
from schemas.events import EventType
from tests.support import rows
from tests.support.broker import subscribe
from tests.support.proxy import open_proxy
from tests.support.waiting import until

Pool = asyncpg.Pool
SHIPPED = EventType.SHIPMENT_SHIPPED.value
LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waybill relay wakeup'"


@pytest.fixture
async def words(database_url: str) -> AsyncIterator[asyncio.Queue[str]]:
    """Every notification that a listener of its own hears."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection = await asyncpg.connect(database_url)
    await connection.add_listener(CHANNEL, lambda *word: heard.put_nowait(word[-1]))
    yield heard
    await connection.close()


async def within(seconds: float, awaitable: Any) -> None:
    async with asyncio.timeout(seconds):
        await awaitable


async def test_whoever_listens_is_told(database_url: str, pool: Pool) -> None:
    wakeup = Wakeup()
    async with listen(database_url, wakeup):
        await within(10, wakeup.ready.wait())
        assert wakeup.due.is_set(), "something may have been said before"
        wakeup.due.clear()
        async with pool.acquire() as connection:
            await RelayWakeup().wake(connection)
        await within(10, wakeup.due.wait())
    assert not wakeup.ready.is_set()
    assert await pool.fetchval(f"SELECT count(*) {LISTENERS}") == 0


async def test_a_listener_that_the_server_ends_comes_back_and_looks_again(database_url: str, pool: Pool) -> None:
    wakeup = Wakeup()
    with capture_logs() as logs:
        async with listen(database_url, wakeup):
            await within(10, wakeup.ready.wait())
            wakeup.due.clear()
            lost = await pool.fetchval(f"SELECT pid {LISTENERS}")
            await pool.execute("SELECT pg_terminate_backend($1)", lost)
            await within(10, wakeup.due.wait())
            assert wakeup.ready.is_set()
            assert await pool.fetchval(f"SELECT pid {LISTENERS}") != lost
            wakeup.due.clear()
            async with pool.acquire() as connection:
                await RelayWakeup().wake(connection)
            await within(10, wakeup.due.wait())
    assert [line["event"] for line in logs] == ["wakeup_lost"]


async def test_a_link_that_died_without_a_word_is_found_out(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(wakeups, "PING_TIMEOUT_S", 1)
    url = URL(database_url)
    wakeup = Wakeup()
    async with open_proxy(url.host or "", url.port or 5432) as proxy:
        through_it = str(url.with_host("127.0.0.1").with_port(proxy.port).update_query(sslmode="disable"))
        async with listen(through_it, wakeup):
            await within(10, wakeup.ready.wait())
            proxy.freeze()
            await until(lambda: asyncio.sleep(0, not wakeup.ready.is_set()))
            wakeup.due.clear()
            proxy.thaw()
            await within(10, wakeup.due.wait())
            assert wakeup.ready.is_set()


async def test_a_listener_waits_for_a_database_that_is_away(database_url: str) -> None:
    url = URL(database_url)
    wakeup = Wakeup()
    async with open_proxy(url.host or "", url.port or 5432) as proxy:
        await proxy.down()
        with capture_logs() as logs:
            async with listen(str(url.with_host("127.0.0.1").with_port(proxy.port)), wakeup):
                await until(lambda: asyncio.sleep(0, logs))
                await proxy.up()
                await within(10, wakeup.ready.wait())
    assert logs[0]["event"] == "wakeup_lost"


@pytest.mark.parametrize(("throttle_s", "said"), [(3600, 1), (0, 3)])
async def test_a_process_does_not_say_it_again_and_again(
    pool: Pool, words: asyncio.Queue[str], monkeypatch: pytest.MonkeyPatch, throttle_s: float, said: int
) -> None:
    monkeypatch.setattr(wakeups, "THROTTLE_S", throttle_s)
    wakeup = RelayWakeup()
    async with pool.acquire() as connection:
        for _ in range(3):
            await wakeup.wake(connection)
        await connection.execute(f"NOTIFY {CHANNEL}, 'end'")
    async with asyncio.timeout(10):
        heard = [await words.get() for _ in range(said + 1)]
    assert heard == [""] * said + ["end"]


async def test_failing_to_tell_is_no_failure_of_the_caller_and_the_next_one_tells(
    pool: Pool, database_url: str, words: asyncio.Queue[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "THROTTLE_S", 3600)
    lost = await asyncpg.connect(database_url)
    await pool.execute("SELECT pg_terminate_backend($1)", lost.get_server_pid())
    wakeup = RelayWakeup()
    with capture_logs() as logs:
        await wakeup.wake(lost)
    assert [line["event"] for line in logs] == ["relay_not_woken"]
    async with pool.acquire() as connection:
        await wakeup.wake(connection)
    async with asyncio.timeout(10):
        assert await words.get() == ""


async def test_nothing_waits_for_the_poll_not_even_what_the_throttle_kept_silent(
    pool: Pool, database_url: str, amqp_url: str
) -> None:
    async with pool.acquire() as connection:
        shipment = await rows.insert_shipment(connection, await rows.insert_order(connection), status="SHIPPED")
    wakeup, stop, told = Wakeup(), asyncio.Event(), RelayWakeup()
    async with subscribe(amqp_url, SHIPPED) as subscriber, listen(database_url, wakeup):
        await within(10, wakeup.ready.wait())
        relaying = asyncio.create_task(
            run(
                pool,
                partial(open_session, amqp_url, name="relay"),
                pace=Pace(batch_size=100, poll_s=600, publish_timeout_s=10),
                required={SHIPPED},
                due=wakeup.due,
                stop=stop,
                grace_s=10,
            )
        )
        for _ in range(20):
            async with pool.acquire() as connection:
                first = await rows.insert_event(connection, shipment)
                await told.wake(connection)
                second = await rows.insert_event(connection, shipment)
                await told.wake(connection)
            await subscriber.wait_for([first, second])
        stop.set()
        await within(10, relaying)
