"""One round of the relay, against a real database and broker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from publishers.broker import Session, open_session
from publishers.relay import Pace, run_once
from schemas.events import EventType
from schemas.topology import TOPIC
from tests.support import rows
from tests.support.broker import Meddled, Subscriber, subscribe

Pool = asyncpg.Pool
SHIPPED, CREATED = EventType.SHIPMENT_SHIPPED.value, EventType.SHIPMENT_CREATED.value
REQUIRED = frozenset({SHIPPED})
PACE = Pace(batch_size=100, poll_s=0.05, publish_timeout_s=10)


@pytest.fixture
async def session(amqp_url: str) -> AsyncIterator[Session]:
    async with open_session(amqp_url, name="tests") as opened:
        yield opened


@pytest.fixture
async def subscriber(amqp_url: str) -> AsyncIterator[Subscriber]:
    async with subscribe(amqp_url, SHIPPED) as subscribed:
        yield subscribed


@pytest.fixture
async def shipment(pool: Pool) -> rows.ShipmentRow:
    async with pool.acquire() as connection:
        return await rows.insert_shipment(connection, await rows.insert_order(connection), status="SHIPPED")


async def add(pool: Pool, shipment: rows.ShipmentRow, number: int = 1, **event: Any) -> list[UUID]:
    async with pool.acquire() as connection:
        return [await rows.insert_event(connection, shipment, **event) for _ in range(number)]


async def address(pool: Pool, event_id: UUID, target: str) -> None:
    await pool.execute("INSERT INTO outbox (event_id, target) VALUES ($1, $2)", event_id, target)


async def outbox(pool: Pool) -> list[UUID]:
    return [row["event_id"] for row in await pool.fetch("SELECT event_id FROM outbox ORDER BY seq")]


async def make_all_due(pool: Pool) -> None:
    await pool.execute("UPDATE outbox SET available_at = now()")


async def relay(pool: Pool, session: Any, pace: Pace = PACE) -> int:
    return await run_once(pool, session, pace=pace, required=REQUIRED)


def ids(*events: UUID) -> list[str]:
    return sorted(str(event) for event in events)


async def test_what_is_due_arrives_and_leaves_the_outbox(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 5)
    assert await relay(pool, session) == 5
    assert sorted(await subscriber.read()) == ids(*events)
    assert await outbox(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM events") == 5, "the history stays"
    assert await relay(pool, session) == 0


async def test_a_message_is_the_stored_event(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    [event_id] = await add(pool, shipment)
    await relay(pool, session)
    await subscriber.read()
    [message] = subscriber.messages
    event = await pool.fetchrow("SELECT * FROM events")
    assert event is not None
    assert message.body == event["body"].encode()
    assert (message.exchange, message.routing_key) == (TOPIC, SHIPPED)
    assert (message.message_id, message.content_type, message.delivery_mode) == (str(event_id), "application/json", 2)
    assert message.headers["ce-source"] == "/waybill/se-web"
    assert message.headers["ce-subject"] == "100001-1"
    assert message.headers["traceparent"] == rows.TRACEPARENT
    assert message.headers["waybill-request-id"] == "req-1"


async def test_a_round_takes_no_more_than_a_batch_and_first_what_is_due_longest(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 5)
    await pool.execute("UPDATE outbox SET available_at = now() - interval '1 hour' WHERE event_id = $1", events[4])
    assert await relay(pool, session, Pace(3, 1, 10)) == 3
    assert sorted(await subscriber.read()) == ids(events[4], events[0], events[1])
    assert await relay(pool, session, Pace(3, 1, 10)) == 2
    assert await outbox(pool) == []


async def test_what_is_postponed_waits(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 2)
    await pool.execute("UPDATE outbox SET available_at = now() + interval '1 hour' WHERE event_id = $1", events[0])
    assert await relay(pool, session) == 1
    assert await subscriber.read() == ids(events[1])
    assert await outbox(pool) == [events[0]]


async def test_a_crash_between_publishing_and_commit_loses_nothing_and_repeats_the_id(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 3)

    async def crash(taken: int) -> None:
        if taken == 3:
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await relay(pool, Meddled(session, after=crash))
    assert sorted(await subscriber.read()) == ids(*events), "published before the crash"
    assert await outbox(pool) == events
    assert await relay(pool, session) == 3
    assert sorted(await subscriber.read()) == sorted(ids(*events) * 2)
    assert await outbox(pool) == []


async def test_two_relays_publish_every_row_once(
    pool: Pool, session: Session, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 6)
    first_holds_its_rows, second_is_done = asyncio.Event(), asyncio.Event()

    async def linger(_: int) -> None:
        first_holds_its_rows.set()
        async with asyncio.timeout(20):
            await second_is_done.wait()

    async with asyncio.TaskGroup() as group, open_session(amqp_url, name="second") as second:
        first = group.create_task(relay(pool, Meddled(session, before=linger), Pace(4, 1, 20)))
        await first_holds_its_rows.wait()
        assert await relay(pool, second) == 2, "it neither waits for the locked rows nor takes them"
        assert sorted(await subscriber.read()) == ids(*events[4:])
        second_is_done.set()
        assert await first == 4
    assert sorted(await subscriber.read()) == ids(*events)
    assert await outbox(pool) == []


async def test_relays_in_competition_publish_every_row_once(
    pool: Pool, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 60)

    async def drain() -> int:
        async with open_session(amqp_url, name="tests") as session:
            rounds = 0
            while await relay(pool, session, Pace(5, 1, 10)):
                rounds += 1
            return rounds

    rounds = await asyncio.gather(drain(), drain(), drain())
    assert sum(rounds) >= 12
    assert sorted(await subscriber.read()) == ids(*events)


async def test_a_required_event_without_a_queue_waits_while_others_go(
    pool: Pool, session: Session, amqp_url: str, shipment: rows.ShipmentRow
) -> None:
    async with subscribe(amqp_url, CREATED) as others:
        stuck = await add(pool, shipment, 2)
        [free] = await add(pool, shipment, kind=EventType.SHIPMENT_CREATED)
        with capture_logs() as logs:
            assert await relay(pool, session) == 3
        assert await others.read() == ids(free)
    assert await outbox(pool) == stuck
    for row in await pool.fetch("SELECT *, available_at - clock_timestamp() AS wait FROM outbox"):
        assert row["attempts"] == 1
        assert "no queue is bound for 'order-shipment-shipped'" in row["last_error"]
        assert 0 < row["wait"].total_seconds() <= 1
    [told] = [line for line in logs if line["event"] == "unrouted_event"]
    assert (told["log_level"], told["routing_key"], told["events"], told["attempts"]) == ("error", SHIPPED, 2, 1)
    [batch] = [line for line in logs if line["event"] == "relay_batch"]
    assert (batch["published"], batch["postponed"]) == (1, 2)

    async with subscribe(amqp_url, SHIPPED, queue="at-last") as at_last:
        assert await relay(pool, session) == 0, "not due yet"
        await make_all_due(pool)
        assert await relay(pool, session) == 2
        assert sorted(await at_last.read()) == ids(*stuck)


async def test_an_event_that_nobody_needs_is_done_without_a_queue(
    pool: Pool, session: Session, shipment: rows.ShipmentRow
) -> None:
    await add(pool, shipment, kind=EventType.SHIPMENT_CREATED)
    with capture_logs() as logs:
        assert await relay(pool, session) == 1
    assert await outbox(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM events") == 1, "it can still be replayed from the history"
    assert [line["event"] for line in logs] == ["relay_batch"]


async def test_an_addressed_row_reaches_that_queue_alone(
    pool: Pool, session: Session, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    async with subscribe(amqp_url, queue="Consumer.one") as one:
        [event_id] = await add(pool, shipment, in_outbox=False)
        await address(pool, event_id, "Consumer.one")
        assert await relay(pool, session) == 1
        assert await one.read() == ids(event_id)
        assert one.messages[0].exchange == ""
    assert await subscriber.read() == []


async def test_an_addressed_row_waits_for_its_queue_whatever_its_type(
    pool: Pool, session: Session, shipment: rows.ShipmentRow
) -> None:
    [event_id] = await add(pool, shipment, kind=EventType.SHIPMENT_CREATED, in_outbox=False)
    await address(pool, event_id, "Consumer.missing")
    assert await relay(pool, session) == 1
    assert await outbox(pool) == [event_id]


async def test_rows_of_one_event_are_told_apart(
    pool: Pool, session: Session, amqp_url: str, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    # All carry the same message id, by which the client library finds what was returned.
    async with subscribe(amqp_url, queue="Consumer.one") as one:
        [event_id] = await add(pool, shipment)
        for target in ("Consumer.missing", "Consumer.one", "Consumer.missing.too"):
            await address(pool, event_id, target)
        assert await relay(pool, session) == 4
        assert await one.read() == await subscriber.read() == ids(event_id)
    waiting = await pool.fetch("SELECT target FROM outbox ORDER BY seq")
    assert [row["target"] for row in waiting] == ["Consumer.missing", "Consumer.missing.too"]


async def test_a_row_that_cannot_be_encoded_blocks_no_other(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    events = await add(pool, shipment, 3)
    await pool.execute("UPDATE outbox SET target = repeat('å', 255) WHERE event_id = $1", events[1])
    assert await relay(pool, session) == 3
    assert sorted(await subscriber.read()) == ids(events[0], events[2])
    [row] = await pool.fetch("SELECT *, available_at > clock_timestamp() AS later FROM outbox")
    assert (row["event_id"], row["attempts"], row["later"]) == (events[1], 1, True)
    assert re.match(r"\w+Error: ", row["last_error"])
    assert not session.ended.is_set()


async def test_a_queue_that_refuses_postpones_only_its_own(
    pool: Pool, session: Session, amqp_url: str, shipment: rows.ShipmentRow
) -> None:
    full = {"x-max-length": 0, "x-overflow": "reject-publish"}
    async with (
        subscribe(amqp_url, SHIPPED, queue="full", arguments=full),
        subscribe(amqp_url, CREATED, queue="roomy") as roomy,
    ):
        [refused] = await add(pool, shipment)
        [taken] = await add(pool, shipment, kind=EventType.SHIPMENT_CREATED)
        assert await relay(pool, session) == 2
        assert await roomy.read() == ids(taken)
    [row] = await pool.fetch("SELECT * FROM outbox")
    assert row["event_id"] == refused
    assert row["last_error"].startswith("Refused: ")


async def test_a_round_waits_for_no_disk_and_may_be_idle_as_long_as_the_broker_works(
    pool: Pool, session: Session, subscriber: Subscriber, shipment: rows.ShipmentRow
) -> None:
    await add(pool, shipment)
    async with pool.acquire() as spy:
        await spy.execute("CREATE TABLE seen AS SELECT ''::text AS name, ''::text AS value WITH NO DATA")
        await spy.execute(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen SELECT name,"
            " current_setting(name) FROM unnest(ARRAY['synchronous_commit', 'idle_in_transaction_session_timeout'])"
            " AS name; RETURN OLD; END $$"
        )
        await spy.execute("CREATE TRIGGER look BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION look()")
    await relay(pool, session)
    seen = dict(await pool.fetch("SELECT name, value FROM seen"))
    assert seen == {"synchronous_commit": "off", "idle_in_transaction_session_timeout": "20s"}
