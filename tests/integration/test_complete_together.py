"""Calls that wait at the same time are completed in one transaction, and each is told what it would be told alone."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from publishers.wakeup import RelayWakeup
from service.completions import MOST_TOGETHER, Completions
from service.payments.registry import open_providers
from service.services import open_services
from service.settings import Settings
from service.shipping.complete_shipment import Completed, complete_shipment
from service.shipping.complete_together import Completion
from service.shipping.departure import Departure, Parcel
from service.shipping.errors import (
    CaptureDeclined,
    ShipmentAlreadyShipped,
    ShipmentNotFound,
    ShipmentNotReleased,
    TemporarilyUnavailable,
)
from service.wiring import open_pool
from tests.support.api import Api, serve_api
from tests.support.proxy import open_proxy
from tests.support.rows import (
    TRACEPARENT,
    Line,
    ShipmentRow,
    insert_capture,
    insert_event,
    insert_order,
    insert_parcel,
    insert_shipment,
)
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

Pool = asyncpg.Pool


def completion(number: str, tracking_number: str = "1Z") -> Completion:
    departure = Departure(parcels=(Parcel(tracking_number=tracking_number),), notify=True)
    return Completion(number, departure, request_id=f"req-{number}", traceparent=TRACEPARENT)


async def insert_paid(pool: Pool, order: str, **columns: Any) -> ShipmentRow:
    """Insert an order with one released shipment whose capture is made."""
    shipment = await insert_shipment(pool, await insert_order(pool, order), **columns)
    await insert_capture(pool, shipment)
    return shipment


@asynccontextmanager
async def open_completions(settings: Settings) -> AsyncIterator[Completions]:
    """What one API process has, with a pool of its own."""
    async with open_pool(settings, name="process") as pool, open_providers(settings) as providers:
        completions = Completions(settings, pool=pool, payment_pool=pool, providers=providers, wakeup=RelayWakeup())
        yield completions
        await completions.close()


@pytest.fixture
async def completions(api_settings: Settings) -> AsyncIterator[Completions]:
    async with open_completions(api_settings) as opened:
        yield opened


async def complete_all(completions: Completions, *numbers: str) -> list[Any]:
    """Ask for all at the same moment; return what each is told."""
    calls = (completions.complete(completion(number)) for number in numbers)
    return await asyncio.gather(*calls, return_exceptions=True)


def told(answers: list[Any]) -> list[type]:
    return [type(answer) for answer in answers]


async def transactions(pool: Pool) -> int:
    """Return how many transactions have shipped something."""
    return await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM shipments WHERE status = 'SHIPPED'")


async def shipped(pool: Pool) -> list[str]:
    rows = await pool.fetch("SELECT shipment_number FROM shipments WHERE status = 'SHIPPED' ORDER BY shipment_number")
    return [row[0] for row in rows]


@asynccontextmanager
async def nobody_appends(pool: Pool) -> AsyncIterator[asyncpg.Connection]:
    """Keep every group from ending: its events have to wait for this lock."""
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
        yield holder


async def until_waiting(pool: Pool, *, for_lock: str = "relation") -> None:
    async def waits() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = $1",
                for_lock,
            )
        )

    await until(waits)


async def test_as_many_as_wait_are_shipped_by_one_transaction_each_with_its_own_event(
    completions: Completions, pool: Pool, sandbox: Sandbox
) -> None:
    numbers = [f"{n}-1" for n in range(MOST_TOGETHER)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    answers = await complete_all(completions, *reversed(numbers))
    assert answers == [Completed(number, number[:-2]) for number in reversed(numbers)]
    assert await transactions(pool) == 1
    assert await shipped(pool) == sorted(numbers)
    rows = await pool.fetch("SELECT e.* FROM events e JOIN outbox o ON o.event_id = e.id")
    assert {(row["subject"], row["request_id"], row["sequence"]) for row in rows} == {
        (number, f"req-{number}", 1) for number in numbers
    }
    assert len(rows) == MOST_TOGETHER
    assert {row["subject"] for row in rows} == {json.loads(row["body"])["guid"] for row in rows}
    assert await pool.fetchval("SELECT count(*) FROM parcels WHERE tracking_number = '1Z'") == MOST_TOGETHER
    assert await pool.fetchval("SELECT count(*) FROM orders WHERE status = 'COMPLETED'") == MOST_TOGETHER
    assert sandbox.ledger() == []


async def test_more_than_a_group_takes_are_all_shipped(completions: Completions, pool: Pool) -> None:
    numbers = [f"{n}-1" for n in range(MOST_TOGETHER + 1)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    assert set(told(await complete_all(completions, *numbers))) == {Completed}
    assert await transactions(pool) == 2


async def test_an_event_is_byte_for_byte_that_of_a_call_alone(completions: Completions, pool: Pool) -> None:
    lines = (Line(), Line(line_id="2", sku="Ö-2", name="Socks", quantity=3, unit_price=333))
    for order in ("100001", "100002", "100003"):
        shipment = await insert_shipment(pool, await insert_order(pool, order, lines=lines), package_count=2)
        await insert_parcel(pool, shipment, tracking_number=None, tracking_url="https://example.com/t")
        await insert_parcel(pool, shipment, position=1)
        await insert_capture(pool, shipment)
    async with pool.acquire() as connection:
        wanted = completion("100001-1")
        await complete_shipment(
            connection,
            shipment_number=wanted.shipment_number,
            departure=wanted.departure,
            providers={},
            capture_timeout_s=1,
            request_id=wanted.request_id,
            traceparent=wanted.traceparent,
        )
    assert told(await complete_all(completions, "100002-1", "100003-1")) == [Completed, Completed]
    texts = {}
    for row in await pool.fetch(
        "SELECT e.subject, e.body, s.shipped_at FROM events e JOIN shipments s ON s.id = e.shipment_id"
    ):
        time = json.loads(row["body"])["data"]["shippedAt"]
        assert time == row["shipped_at"].strftime("%Y-%m-%dT%H:%M:%S.") + f"{row['shipped_at'].microsecond // 1000:03}Z"
        texts[row["subject"]] = row["body"].replace(row["subject"][:6], "100001").replace(time, "")
    assert len(texts) == 3
    assert len(set(texts.values())) == 1


async def test_two_shipments_of_one_order_complete_it_together(completions: Completions, pool: Pool) -> None:
    order = await insert_order(pool, lines=(Line(quantity=3),), shipping_amount=0)
    for n in (1, 2, 3):
        await insert_capture(pool, await insert_shipment(pool, order, n=n, quantities={"43243": 1}))
    assert told(await complete_all(completions, "100001-1", "100001-3")) == [Completed, Completed]
    assert await transactions(pool) == 1
    row = await pool.fetchrow("SELECT status, unshipped_quantity FROM orders")
    assert tuple(row) == ("IN_PROGRESS", 1)
    assert told(await complete_all(completions, "100001-2")) == [Completed]
    row = await pool.fetchrow("SELECT status, unshipped_quantity FROM orders")
    assert tuple(row) == ("COMPLETED", 0)


async def test_twenty_calls_for_one_shipment_among_others_ship_it_once(api: Api, pool: Pool) -> None:
    for order in ("100001", "100002", "100003"):
        await insert_paid(pool, order)
    same = [api.complete("100001-1") for _ in range(20)]
    *repeated, second, third = await asyncio.gather(*same, api.complete("100002-1"), api.complete("100003-1"))
    assert Counter(answer.status for answer in repeated) == {200: 1, 409: 19}
    assert (second.status, third.status) == (200, 200)
    assert await pool.fetchval("SELECT count(*) FROM events") == 3


async def test_each_of_a_mixed_group_is_told_its_own_answer_and_a_held_row_keeps_nobody_waiting(
    completions: Completions, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_paid(pool, "plain")
    await insert_paid(pool, "held")
    await insert_paid(pool, "gone", status="SHIPPED")
    await insert_paid(pool, "stopped", status="ONHOLD")
    await insert_shipment(pool, await insert_order(pool, "unpaid"))
    await insert_shipment(pool, await insert_order(pool, "refused", payment_authorization="sandbox:decline"))
    await insert_shipment(pool, await insert_order(pool, "waits", waiting_for_payment=True), capture_wanted=False)
    await insert_shipment(pool, await insert_order(pool, "elsewhere"), capture_wanted=False)
    await insert_shipment(pool, await insert_order(pool, "growing"), status="PROVISIONAL")
    expected = {
        "none": ShipmentNotFound,
        "plain-1": Completed,
        "gone-1": ShipmentAlreadyShipped,
        "stopped-1": ShipmentNotReleased,
        "unpaid-1": Completed,
        "refused-1": CaptureDeclined,
        "waits-1": ShipmentNotReleased,
        "elsewhere-1": Completed,
        "growing-1": ShipmentNotFound,
    }
    async with pool.acquire() as holder:
        foreign = holder.transaction()
        await foreign.start()
        # As a foreign key does, which is the weakest of row locks.
        await holder.execute("SELECT FROM shipments WHERE shipment_number = 'held-1' FOR KEY SHARE")
        held = asyncio.create_task(completions.complete(completion("held-1")))
        answers = await complete_all(completions, *expected)
        assert dict(zip(expected, told(answers), strict=True)) == expected
        await until_waiting(pool, for_lock="transactionid")
        assert not held.done()
        await foreign.rollback()
    assert await held == Completed("held-1", "held")
    assert await shipped(pool) == ["elsewhere-1", "gone-1", "held-1", "plain-1", "unpaid-1"]
    assert [entry["idempotency_key"] for entry in sandbox.ledger()] == ["shipment:unpaid-1:capture:1"]
    assert str(answers[3]) == "Shipment is not in RELEASED status: stopped-1 is ONHOLD"
    assert str(answers[6]) == "Order does not allow shipping: it is waiting for payment"


async def test_a_row_that_stays_locked_is_503_and_the_others_ship(api_settings: Settings, pool: Pool) -> None:
    await insert_paid(pool, "held")
    await insert_paid(pool, "plain")
    async with (
        serve_api(api_settings.model_copy(update={"lock_timeout_s": 0.2}), pool) as api,
        pool.acquire() as holder,
        holder.transaction(),
    ):
        await holder.execute("SELECT FROM orders WHERE order_number = 'held' FOR UPDATE")
        held, plain = await asyncio.gather(api.complete("held-1"), api.complete("plain-1"))
        assert (held.status, held.headers["Retry-After"], plain.status) == (503, "5", 200)


async def test_one_bad_row_fails_alone(api: Api, pool: Pool) -> None:
    # One that the database refuses, and one that the event cannot be made of.
    taken = await insert_paid(pool, "taken")
    async with pool.acquire() as connection:
        await insert_event(connection, taken, sequence=1, in_outbox=False)
    await pool.execute("DELETE FROM shipment_lines WHERE shipment_id = $1", (await insert_paid(pool, "empty")).id)
    numbers = [f"{n}-1" for n in range(10)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    answers = await asyncio.gather(*(api.complete(number) for number in ["taken-1", *numbers, "empty-1"]))
    assert [answer.status for answer in answers] == [500, *[200] * 10, 500]
    assert answers[0].body == answers[-1].body == {"error": "Internal server error."}
    assert await shipped(pool) == numbers
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 10


async def test_a_caller_that_hangs_up_takes_nobody_along(api: Api, pool: Pool) -> None:
    for order in ("left", "stays"):
        await insert_paid(pool, order)
    async with nobody_appends(pool):
        # The first call makes a group of its own.
        leaving = asyncio.create_task(api.complete("left-1"))
        staying = asyncio.create_task(api.complete("stays-1"))
        await until_waiting(pool)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not staying.done()
    assert (await staying).status == 200
    # What was abandoned has happened, and is told as it is.
    assert (await api.complete("left-1")).status == 409
    assert await shipped(pool) == ["left-1", "stays-1"]


async def test_a_call_that_is_given_up_before_its_group_leaves_nothing(completions: Completions, pool: Pool) -> None:
    for order in ("left", "stays"):
        await insert_paid(pool, order)
    leaving = asyncio.create_task(completions.complete(completion("left-1")))
    staying = asyncio.create_task(completions.complete(completion("stays-1")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == Completed("stays-1", "stays")
    assert await shipped(pool) == ["stays-1"]


async def test_a_connection_lost_before_the_commit_ships_nothing_and_the_retry_ships(
    completions: Completions, pool: Pool
) -> None:
    unnoticed: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))
    numbers = [f"{n}-1" for n in range(5)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    async with nobody_appends(pool):
        calls = asyncio.create_task(complete_all(completions, *numbers))
        await until_waiting(pool)
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        assert told(await calls) == [TemporarilyUnavailable] * 5
    assert await shipped(pool) == []
    assert told(await complete_all(completions, *numbers)) == [Completed] * 5
    assert await pool.fetchval("SELECT count(*) FROM events") == 5
    gc.collect()  # only then does a task tell of an exception that nobody has asked for
    assert unnoticed == []


async def test_a_connection_lost_at_the_commit_is_unknown_and_the_retry_is_told_the_truth(
    api_settings: Settings, pool: Pool
) -> None:
    await insert_paid(pool, "100001")
    # A commit that takes as long as the test wants.
    await pool.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$"
    )
    await pool.execute(
        "CREATE CONSTRAINT TRIGGER lingers AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    address = urlsplit(api_settings.database_url)
    async with open_proxy(address.hostname or "", address.port or 0) as proxy:
        behind = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{proxy.port}"))
        settings = api_settings.model_copy(update={"database_url": behind.geturl()})
        async with open_completions(settings) as completions:
            async with pool.acquire() as holder, holder.transaction():
                await holder.execute("SELECT pg_advisory_xact_lock(1)")
                call = asyncio.create_task(complete_all(completions, "100001-1"))
                await until_waiting(pool, for_lock="advisory")
                proxy.freeze(answers_only=True)
            await until(lambda: shipped(pool))
            await proxy.down()
            assert told(await call) == [TemporarilyUnavailable]
            # Away altogether: nobody waits for what cannot be had.
            assert told(await complete_all(completions, "100001-1", "none")) == [TemporarilyUnavailable] * 2
            await proxy.up()
            assert told(await complete_all(completions, "100001-1")) == [ShipmentAlreadyShipped]
    assert await pool.fetchval("SELECT count(*) FROM events") == 1


async def test_who_finds_no_connection_in_time_is_told_so(api_settings: Settings, pool: Pool) -> None:
    await insert_paid(pool, "100001")
    await insert_paid(pool, "100002")
    settings = api_settings.model_copy(update={"database_pool_size": 1, "database_acquire_timeout_s": 0.2})
    async with open_completions(settings) as completions:
        async with nobody_appends(pool):
            first = asyncio.create_task(completions.complete(completion("100001-1")))
            await until_waiting(pool)
            assert told(await complete_all(completions, "100002-1")) == [TemporarilyUnavailable]
        assert await first == Completed("100001-1", "100001")
        assert await shipped(pool) == ["100001-1"]
        assert told(await complete_all(completions, "100002-1")) == [Completed]


async def test_two_processes_that_take_the_same_in_opposite_order_never_wait_in_a_circle(
    api_settings: Settings, pool: Pool
) -> None:
    rounds = 15
    for n in range(rounds):
        order = await insert_order(pool, f"{n}-both", lines=(Line(quantity=2),), shipping_amount=0)
        for half in (1, 2):
            await insert_capture(pool, await insert_shipment(pool, order, n=half, quantities={"43243": 1}))
        for other in range(6):
            await insert_paid(pool, f"{n}-{other}")
    async with open_completions(api_settings) as one, open_completions(api_settings) as two:
        for n in range(rounds):
            numbers = [f"{n}-both-1", *(f"{n}-{other}-1" for other in range(6)), f"{n}-both-2"]
            ours, theirs = await asyncio.gather(complete_all(one, *numbers), complete_all(two, *reversed(numbers)))
            for pair in zip(told(ours), told(theirs[::-1]), strict=True):
                assert set(pair) == {Completed, ShipmentAlreadyShipped}
    assert await pool.fetchval("SELECT count(*) FROM events") == rounds * 8
    assert await pool.fetchval("SELECT count(*) FROM orders WHERE unshipped_quantity = 0") == rounds * 7
    assert await pool.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


async def test_no_statement_is_planned_again_for_each_call(api_settings: Settings, pool: Pool) -> None:
    orders = [str(n) for n in range(3)]
    for order in orders:
        await insert_paid(pool, order)
    one_connection = api_settings.model_copy(update={"database_pool_size": 1})
    async with open_services(one_connection, name="api") as services:
        for order in orders:
            await services.completions.complete(completion(f"{order}-1"))
        planned = await services.pool.fetchrow(
            "SELECT sum(custom_plans) AS anew, sum(generic_plans) AS once FROM pg_prepared_statements"
            " WHERE statement LIKE '%shipments%'"
        )
    assert planned["anew"] == 0
    assert planned["once"] >= 3


async def test_a_stop_lets_the_group_under_way_end(api_settings: Settings, pool: Pool) -> None:
    await insert_paid(pool, "100001")
    async with open_pool(api_settings, name="process") as own:
        completions = Completions(api_settings, pool=own, payment_pool=own, providers={}, wakeup=RelayWakeup())
        async with nobody_appends(pool):
            call = asyncio.create_task(completions.complete(completion("100001-1")))
            await until_waiting(pool)
            closing = asyncio.create_task(completions.close())
            await asyncio.sleep(0)
            assert not closing.done()
        await closing
        assert await call == Completed("100001-1", "100001")
