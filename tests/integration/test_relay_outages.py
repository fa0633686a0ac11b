"""The relay's loop while the broker, the database or the link to one of them goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs
from yarl import URL

from publishers import relay
from publishers.broker import ConnectionLost, Session, SessionEnded, open_session
from publishers.relay import Pace, run, run_once
from schemas.events import EventType
from schemas.topology import TOPIC
from tests.support import rows
from tests.support.broker import Meddled, Subscriber, subscribe
from tests.support.proxy import Proxy, open_proxy
from tests.support.servers import Servers
from tests.support.vhosts import management
from tests.support.waiting import until

Pool = asyncpg.Pool
SHIPPED = EventType.SHIPMENT_SHIPPED.value
REQUIRED = frozenset({SHIPPED})
PACE = Pace(batch_size=50, poll_s=0.05, publish_timeout_s=5)


@pytest.fixture
async def subscriber(amqp_url: str) -> AsyncIterator[Subscriber]:
    async with subscribe(amqp_url, SHIPPED) as subscribed:
        yield subscribed


@pytest.fixture
async def shipment(pool: Pool) -> rows.ShipmentRow:
    async with pool.acquire() as connection:
        return await rows.insert_shipment(connection, await rows.insert_order(connection), status="SHIPPED")


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    url = URL(amqp_url)
    async with open_proxy(url.host or "", url.port or 5672) as opened:
        yield opened


@pytest.fixture
def proxied_url(amqp_url: str, proxy: Proxy) -> str:
    return str(URL(amqp_url).with_host("127.0.0.1").with_port(proxy.port))


async def add(pool: Pool, shipment: rows.ShipmentRow, number: int = 1) -> list[UUID]:
    async with pool.acquire() as connection:
        return [await rows.insert_event(connection, shipment) for _ in range(number)]


async def emptied(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox")


@asynccontextmanager
async def running(
    pool: Pool,
    connect: Callable[[], Any],
    *,
    pace: Pace = PACE,
    due: asyncio.Event | None = None,
    grace_s: float = 10,
) -> AsyncIterator[asyncio.Event]:
    """Run a relay; yield its stop event. It must end by itself once stopped, and in time."""
    stop = asyncio.Event()
    task = asyncio.create_task(
        run(pool, connect, pace=pace, required=REQUIRED, due=due or asyncio.Event(), stop=stop, grace_s=grace_s)
    )
    try:
        yield stop
        stop.set()
        async with asyncio.timeout(grace_s + 5):
            await task
    finally:
        task.cancel()


async def test_everything_goes_out_soon_after_the_broker_is_back(
    pool: Pool, proxy: Proxy, proxied_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    with capture_logs() as logs:
        async with running(pool, partial(open_session, proxied_url, name="relay")):
            before = await add(pool, shipment, 3)
            await subscriber.wait_for(before)
            await until(partial(emptied, pool))
            await proxy.down()

            async def several_attempts() -> bool:
                return sum(line["event"] == "broker_lost" for line in logs) >= 5

            during = await add(pool, shipment, 3)
            await until(several_attempts)
            assert len(await subscriber.read()) == 3
            await proxy.up()
            async with asyncio.timeout(4):
                await subscriber.wait_for(during)
            await until(partial(emptied, pool))
    assert len(await subscriber.read()) == 6, "nothing was published twice"
    told = [line["event"] for line in logs]
    assert told.count("relay_started") == 1
    assert "broker_found_again" in told


async def test_a_session_that_is_refused_something_is_renewed_but_not_at_once(
    pool: Pool, amqp_url: str, shipment: rows.ShipmentRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0

    @asynccontextmanager
    async def connect() -> AsyncIterator[Session]:
        nonlocal opened
        async with open_session(amqp_url, name="relay") as session:
            opened += 1
            yield session

    async def refused() -> bool:
        return bool(await pool.fetchval("SELECT attempts > 0 FROM outbox"))

    async def renewed() -> bool:
        return opened >= 3

    full = {"x-max-length": 0, "x-overflow": "reject-publish"}
    async with subscribe(amqp_url, SHIPPED, queue="full", arguments=full) as subscriber:
        await add(pool, shipment)
        async with running(pool, connect):
            await until(refused)
        assert opened == 1
        monkeypatch.setattr(relay, "RENEW_AFTER_S", 0.1)
        async with running(pool, connect):
            await until(renewed)
            await subscriber.queue.delete()
            await add(pool, shipment)
            async with subscribe(amqp_url, SHIPPED):
                await until(partial(emptied, pool))


async def test_a_connection_that_the_broker_closes_is_opened_again(
    pool: Pool, amqp_url: str, servers: Servers, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    manage = partial(asyncio.to_thread, management, servers.amqp_management_url)
    vhost = URL(amqp_url).path.strip("/")

    async def close_the_relays() -> bool:
        connections = await manage("GET", f"vhosts/{vhost}/connections")
        names = [each["name"] for each in connections if each.get("user_provided_name") == "relay"]
        for name in names:
            await manage("DELETE", f"connections/{quote(name, safe='')}")
        return bool(names)

    with capture_logs() as logs:
        async with running(pool, partial(open_session, amqp_url, name="relay")):
            await until(close_the_relays)

            async def noticed() -> bool:
                return any(line["event"] == "broker_lost" and "320" in line["reason"] for line in logs)

            await until(noticed)
            await subscriber.wait_for(await add(pool, shipment, 3))


async def test_what_was_confirmed_before_the_connection_broke_is_done_and_the_rest_stays_due(
    pool: Pool, proxy: Proxy, proxied_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 6)
    three_taken, cut = asyncio.Event(), asyncio.Event()

    async def only_three(begun: int) -> None:
        if begun > 3:
            await cut.wait()

    async def cut_after_three(taken: int) -> None:
        if taken == 3:
            three_taken.set()

    async with open_session(proxied_url, name="relay") as session:
        meddled = Meddled(session, before=only_three, after=cut_after_three)
        round_ = asyncio.create_task(run_once(pool, meddled, pace=PACE, required=REQUIRED))
        await three_taken.wait()
        await proxy.down()
        async with asyncio.timeout(10):
            await session.ended.wait()
        cut.set()
        assert await round_ == 6
    assert sorted(await subscriber.read()) == sorted(map(str, events[:3]))
    left = await pool.fetch("SELECT *, available_at <= clock_timestamp() AS due FROM outbox ORDER BY seq")
    assert [row["event_id"] for row in left] == events[3:]
    for row in left:
        assert (row["attempts"], row["due"]) == (1, True)
        assert row["last_error"].startswith("ConnectionLost: ")


async def test_what_the_broker_took_without_a_word_is_published_again_under_its_id(
    pool: Pool, proxy: Proxy, proxied_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 3)
    async with open_session(proxied_url, name="relay") as session:
        proxy.freeze(answers_only=True)
        round_ = asyncio.create_task(run_once(pool, session, pace=PACE, required=REQUIRED))
        await subscriber.wait_for(events)
        await proxy.down()
        assert await round_ == 3
    assert not await emptied(pool)
    await proxy.up()
    async with running(pool, partial(open_session, proxied_url, name="relay")):
        await until(partial(emptied, pool))
    assert sorted(await subscriber.read()) == sorted([str(event) for event in events] * 2)


async def test_a_broker_that_hangs_costs_one_deadline_and_its_session(
    pool: Pool, proxy: Proxy, proxied_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 3)
    async with open_session(proxied_url, name="relay") as session:
        proxy.freeze()
        async with asyncio.timeout(5):
            assert await run_once(pool, session, pace=Pace(50, 1, 0.3), required=REQUIRED) == 3
        assert session.ended.is_set(), "unanswered ids are still in flight on it"
        proxy.thaw()
    for row in await pool.fetch("SELECT *, available_at - clock_timestamp() AS wait FROM outbox"):
        assert row["attempts"] == 1
        assert row["wait"].total_seconds() <= 1
        assert row["last_error"] == "TimeoutError: not confirmed in time"
    async with running(pool, partial(open_session, proxied_url, name="relay")):
        async with asyncio.timeout(5):
            await subscriber.wait_for(events)
            await until(partial(emptied, pool))


async def test_one_message_that_makes_the_broker_hang_up_does_not_hold_the_others_for_ever(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 5)
    # Headers larger than a frame may be: the broker ends the whole connection.
    await pool.execute("ALTER TABLE events DISABLE TRIGGER events_are_append_only")
    await pool.execute("UPDATE events SET request_id = repeat('x', 300000) WHERE id = $1", events[2])
    innocent = [event for event in events if event != events[2]]
    with capture_logs() as logs:
        async with running(pool, partial(open_session, amqp_url, name="relay")):
            async with asyncio.timeout(60):
                await subscriber.wait_for(innocent)

            async def only_the_culprit_stays() -> bool:
                return [row["event_id"] for row in await pool.fetch("SELECT event_id FROM outbox")] == [events[2]]

            await until(only_the_culprit_stays)
    assert any(line["event"] == "broker_lost" for line in logs)
    assert (await pool.fetchval("SELECT last_error FROM outbox")).startswith("Blamed: ")


async def test_a_topic_that_somebody_deleted_is_declared_again(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    async with running(pool, partial(open_session, amqp_url, name="relay")):
        await subscriber.wait_for(await add(pool, shipment))
        topic = await subscriber.channel.get_exchange(TOPIC)
        await topic.delete()
        events = await add(pool, shipment, 2)

        async def declared_and_bound_again() -> bool:
            async with subscribe(amqp_url, SHIPPED):
                return set(map(str, events)) <= set(await subscriber.read())

        await until(declared_and_bound_again)


async def test_a_lost_database_is_waited_out(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow, database_url: str
) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as relays_pool:
        with capture_logs() as logs:
            async with running(relays_pool, partial(open_session, amqp_url, name="relay")):
                await subscriber.wait_for(await add(pool, shipment))
                # The first statement on a connection that was ended finds out.
                await pool.execute("ALTER TABLE outbox RENAME TO outbox_away")

                async def noticed() -> bool:
                    return any(line["event"] == "database_lost" for line in logs)

                await until(noticed)
                await pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                )
                await until(partial(renamed_back, pool))
                await subscriber.wait_for(await add(pool, shipment, 3))
    assert not any(line["event"] == "broker_lost" for line in logs), "the broker's session has nothing to do with it"


async def renamed_back(pool: Pool) -> bool:
    try:
        await pool.execute("ALTER TABLE outbox_away RENAME TO outbox")
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
        return False
    return True


async def test_stopping_lets_the_running_round_end(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 3)
    in_round, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: int) -> None:
        in_round.set()
        await go_on.wait()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with open_session(amqp_url, name="relay") as session:
            yield Meddled(session, before=hold)

    async with running(pool, connect) as stop:
        await in_round.wait()
        stop.set()
        await add(pool, shipment)
        go_on.set()
    assert sorted(await subscriber.read()) == sorted(map(str, events)), "and no other round begins"
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_stopping_waits_no_longer_than_its_grace(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    await add(pool, shipment, 3)
    in_round = asyncio.Event()

    async def hang(_: int) -> None:
        in_round.set()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with open_session(amqp_url, name="relay") as session:
            yield Meddled(session, before=hang)

    async with running(pool, connect, pace=Pace(50, 0.05, 600), grace_s=0.2) as stop:
        await in_round.wait()
        stop.set()
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 3
    assert await subscriber.read() == []


async def test_stopping_does_not_wait_for_a_broker_that_is_away(pool: Pool) -> None:
    tried = asyncio.Event()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Session]:
        tried.set()
        await asyncio.Event().wait()
        raise AssertionError
        yield

    async with asyncio.timeout(5):
        async with running(pool, connect, grace_s=60):
            await tried.wait()


async def test_what_is_wrong_for_good_ends_the_relay(pool: Pool, amqp_url: str) -> None:
    class WrongForGoodError(Exception):
        pass

    async def prepare(_: Any) -> None:
        raise WrongForGoodError

    connect = partial(open_session, amqp_url, name="relay", prepare=prepare)
    with pytest.raises(WrongForGoodError):
        await run(
            pool,
            connect,
            pace=PACE,
            required=REQUIRED,
            due=asyncio.Event(),
            stop=asyncio.Event(),
            grace_s=1,
        )


async def test_a_session_that_cannot_be_opened_says_why_without_the_password(amqp_url: str) -> None:
    with pytest.raises(SessionEnded, match="ACCESS_REFUSED") as refused:
        async with open_session(str(URL(amqp_url).with_password("s3cret")), name="relay"):
            pass
    assert "s3cret" not in str(refused.value)


async def test_a_virtual_host_that_is_missing_is_named(amqp_url: str) -> None:
    with pytest.raises(SessionEnded, match="virtual host 'nowhere'"):
        async with open_session(str(URL(amqp_url).with_path("/nowhere")), name="relay"):
            pass


async def test_a_server_that_is_no_broker_is_an_outage() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost):
            async with open_session(f"amqp://guest:guest@127.0.0.1:{port}/", name="relay"):
                pass
