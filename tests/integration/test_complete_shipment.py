"""Completing shipments over HTTP: what the caller is told, and what is then in the database and at the provider."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import asyncpg
import pytest

from service.settings import Settings
from tests.support.api import COMPLETE, Api, serve_api
from tests.support.rows import Line, insert_order, insert_parcel, insert_shipment
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

Pool = asyncpg.Pool


async def captures(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("SELECT attempt, state, amount, shipping_part FROM captures ORDER BY id")
    return [tuple(row) for row in rows]


async def status_of(pool: Pool, number: str) -> str:
    return await pool.fetchval("SELECT status FROM shipments WHERE shipment_number = $1", number)


async def events(pool: Pool) -> list[Any]:
    return [json.loads(row["body"]) for row in await pool.fetch("SELECT body FROM events ORDER BY seq")]


async def test_the_contracts_example(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    order = await insert_order(pool)
    await insert_shipment(pool, order)
    answer = await api.complete("100001-1", "1Z999AA10123456784")
    assert (answer.status, answer.body) == (
        200,
        {
            "shipmentNumber": "100001-1",
            "orderNumber": "100001",
            "status": "SHIPPED",
            "message": "Shipment completed successfully.",
        },
    )
    assert await captures(pool) == [(1, "CAPTURED", 44700, 4900)]
    [entry] = sandbox.ledger()
    assert (entry["amount"], entry["currency"], entry["idempotency_key"]) == (
        44700,
        "SEK",
        "shipment:100001-1:capture:1",
    )
    row = await pool.fetchrow(
        "SELECT s.status, s.shipped_at, o.status AS order_status, o.unshipped_quantity, o.reserved_amount,"
        " p.tracking_number FROM shipments s JOIN orders o ON o.id = s.order_id JOIN parcels p ON p.shipment_id = s.id"
    )
    assert (row["status"], row["order_status"], row["unshipped_quantity"]) == ("SHIPPED", "COMPLETED", 0)
    assert (row["reserved_amount"], row["tracking_number"]) == (44700, "1Z999AA10123456784")
    [event] = await events(pool)
    shipped_at = event["data"].pop("shippedAt")
    assert (
        shipped_at == row["shipped_at"].strftime("%Y-%m-%dT%H:%M:%S.") + f"{row['shipped_at'].microsecond // 1000:03}Z"
    )
    assert event == {
        "eventType": {"@class": "OrderEvent", "name": "ORDER_SHIPMENT_SHIPPED"},
        "guid": "100001-1",
        "data": {
            "orderNumber": "100001",
            "shipmentNumber": "100001-1",
            "store": "se-web",
            "status": "SHIPPED",
            "carrier": None,
            "service": None,
            "packages": None,
            "carrierTrackingNumber": "1Z999AA10123456784",
            "trackingUrl": None,
            "parcels": [
                {
                    "carrier": None,
                    "service": None,
                    "trackingNumber": "1Z999AA10123456784",
                    "trackingUrl": None,
                }
            ],
            "lines": [{"lineId": "43243", "sku": "A-1", "quantity": 2}],
            "notifyCustomer": True,
            "sequence": 1,
        },
    }
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_repeated_call_is_told_409(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    await insert_shipment(pool, await insert_order(pool))
    assert (await api.complete("100001-1")).status == 200
    answer = await api.complete("100001-1", "another")
    assert (answer.status, answer.body) == (409, {"error": "Shipment already completed: 100001-1"})
    assert len(sandbox.ledger()) == 1
    assert await pool.fetchval("SELECT count(*) FROM parcels") == 0


async def test_fifty_calls_over_two_processes_ship_once(
    api: Api, api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:slow:100"))
    async with serve_api(api_settings, pool) as second:
        answers = await asyncio.gather(*(each.complete("100001-1", "1Z") for _ in range(25) for each in (api, second)))
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 49}
    assert len(sandbox.ledger()) == 1
    assert len(await events(pool)) == 1


async def test_a_declined_shipment_stays_and_a_better_authorization_ships_it(
    api: Api, api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:decline"))
    async with serve_api(api_settings, pool) as second:
        answers = await asyncio.gather(*(each.complete("100001-1") for _ in range(10) for each in (api, second)))
    assert Counter(answer.status for answer in answers) == {500: 20}
    assert {json.dumps(answer.body) for answer in answers} == {'{"error": "The shipment could not be completed."}'}
    assert [row[:2] for row in await captures(pool)] == [(n, "DECLINED") for n in range(1, 21)]
    assert await status_of(pool, "100001-1") == "RELEASED"
    assert (sandbox.ledger(), await events(pool)) == ([], [])
    assert await pool.fetchval("SELECT reserved_amount FROM orders") == 0
    assert await pool.fetchval("SELECT shipping_reserved FROM orders") is False

    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:ok'")
    assert (await api.complete("100001-1")).status == 200
    assert [entry["idempotency_key"] for entry in sandbox.ledger()] == ["shipment:100001-1:capture:21"]


async def test_nobody_is_told_409_while_the_first_call_fails(
    api: Api, api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    # The first provider call is out of service, the others are not: who waited goes on as if first.
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:flaky:1"))
    async with serve_api(api_settings, pool) as second:
        answers = await asyncio.gather(*(each.complete("100001-1") for _ in range(5) for each in (api, second)))
    assert Counter(answer.status for answer in answers) == {503: 1, 200: 1, 409: 8}
    assert len(sandbox.ledger()) == 1


async def test_a_lost_answer_is_asked_about_and_never_captured_twice(
    api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:lost"))
    async with serve_api(api_settings.model_copy(update={"capture_timeout_s": 0.3}), pool) as api:
        first = await api.complete("100001-1")
        assert (first.status, first.body) == (500, {"error": "The shipment could not be completed."})
        assert [row[1] for row in await captures(pool)] == ["PENDING"]
        assert await status_of(pool, "100001-1") == "RELEASED"
        assert (await api.complete("100001-1")).status == 200
    assert len(sandbox.ledger()) == 1
    assert [row[1] for row in await captures(pool)] == ["CAPTURED"]


async def test_a_capture_that_outlived_its_transaction_is_taken_over(
    api: Api, api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:lost"))

    async def money_moved() -> bool:
        return bool(sandbox.ledger())

    async with serve_api(api_settings.model_copy(update={"capture_timeout_s": 1}), pool) as doomed:
        first = asyncio.create_task(doomed.complete("100001-1"))
        await until(money_moved)
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        assert (await api.complete("100001-1")).status == 200
        assert (await first).status in {500, 503}
    assert len(sandbox.ledger()) == 1
    assert await captures(pool) == [(1, "CAPTURED", 44700, 4900)]
    assert len(await events(pool)) == 1


async def test_a_caller_that_hangs_up_does_not_stop_the_completion(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_authorization="sandbox:slow:300"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await api.complete("100001-1")
    # Waits behind the abandoned call and is told the truth.
    assert (await api.complete("100001-1")).status == 409
    assert len(sandbox.ledger()) == 1


async def test_partial_shipments_share_the_shipping_cost_once(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    order = await insert_order(pool, lines=(Line(quantity=3), Line(line_id="2", unit_price=333)), shipping_amount=4900)
    await insert_shipment(pool, order, n=1, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 2})
    await insert_shipment(pool, order, n=3, quantities={"2": 2})
    answers = await asyncio.gather(*(api.complete(f"100001-{n}") for n in (1, 2, 3)))
    assert [answer.status for answer in answers] == [200, 200, 200]
    rows = await captures(pool)
    assert sorted(amount - shipping for _, _, amount, shipping in rows) == [666, 19900, 39800]
    assert sorted(shipping for *_, shipping in rows) == [0, 0, 4900]
    assert sum(entry["amount"] for entry in sandbox.ledger()) == 3 * 19900 + 2 * 333 + 4900
    assert await pool.fetchval("SELECT status FROM orders") == "COMPLETED"


async def test_an_order_is_in_progress_until_its_last_piece_left(api: Api, pool: Pool) -> None:
    order = await insert_order(pool)
    await insert_shipment(pool, order, n=1, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 1})
    await api.complete("100001-2")
    assert await pool.fetchval("SELECT status FROM orders") == "IN_PROGRESS"
    await api.complete("100001-1")
    assert await pool.fetchval("SELECT status FROM orders") == "COMPLETED"


async def test_nothing_to_take_needs_no_provider(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    order = await insert_order(
        pool, lines=(Line(unit_price=0),), shipping_amount=0, payment_authorization="sandbox:decline"
    )
    await insert_shipment(pool, order)
    assert (await api.complete("100001-1")).status == 200
    assert await captures(pool) == [(1, "CAPTURED", 0, 0)]
    assert sandbox.ledger() == []


async def test_a_shipment_whose_money_somebody_else_takes(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    await insert_shipment(pool, await insert_order(pool), capture_wanted=False)
    assert (await api.complete("100001-1")).status == 200
    assert (await captures(pool), sandbox.ledger()) == ([], [])


async def test_the_parcel_that_is_known_gets_its_tracking_number(api: Api, pool: Pool) -> None:
    shipment = await insert_shipment(pool, await insert_order(pool))
    await insert_parcel(pool, shipment, tracking_number=None, tracking_url="https://example.com/t")
    assert (await api.complete("100001-1", " TN 1 ")).status == 200
    [event] = await events(pool)
    data = event["data"]
    assert (data["carrier"], data["carrierTrackingNumber"], data["trackingUrl"]) == (
        "UPS",
        "TN 1",
        "https://example.com/t",
    )


@pytest.mark.parametrize("status", ["AWAITING_INVENTORY", "INVENTORY_ASSIGNED", "ONHOLD", "CANCELLED", "FAILED_ORDER"])
async def test_what_is_not_released_is_refused_and_reserves_nothing(
    api: Api, pool: Pool, sandbox: Sandbox, status: str
) -> None:
    await insert_shipment(pool, await insert_order(pool), status=status)
    answer = await api.complete("100001-1")
    assert answer.status == 400
    assert answer.body == {"error": f"Shipment is not in RELEASED status: 100001-1 is {status}"}
    assert (await captures(pool), sandbox.ledger()) == ([], [])


@pytest.mark.parametrize("columns", [{"status": "ONHOLD"}, {"status": "CANCELLED"}, {"waiting_for_payment": True}])
async def test_an_order_that_is_held_refuses_and_reserves_nothing(
    api: Api, pool: Pool, columns: dict[str, Any]
) -> None:
    await insert_shipment(pool, await insert_order(pool, **columns))
    assert (await api.complete("100001-1")).status == 400
    assert await captures(pool) == []


@pytest.mark.parametrize("number", ["100001-2", "x" * 1000, "'; DROP TABLE shipments --", "ä-1"])
async def test_an_unknown_shipment_is_404_by_its_number(api: Api, pool: Pool, number: str) -> None:
    await insert_shipment(pool, await insert_order(pool))
    answer = await api.complete(number)
    assert (answer.status, answer.body) == (404, {"error": f"Shipment not found: {number}"})


async def test_a_lock_that_is_not_freed_in_time_is_503(api_settings: Settings, pool: Pool, sandbox: Sandbox) -> None:
    await insert_shipment(pool, await insert_order(pool))
    async with (
        serve_api(api_settings.model_copy(update={"lock_timeout_s": 0.2}), pool) as api,
        pool.acquire() as holder,
        holder.transaction(),
    ):
        await holder.execute("SELECT FROM shipments FOR UPDATE")
        answer = await api.complete("100001-1")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert sandbox.ledger() == []


async def test_payments_that_take_all_connections_are_503_for_further_ones_and_for_nobody_else(
    api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    settings = api_settings.model_copy(
        update={"database_pool_size": 1, "payment_pool_size": 2, "database_acquire_timeout_s": 1}
    )
    order = await insert_order(pool, payment_authorization="sandbox:slow:4000", lines=(Line(quantity=3),))
    for n in (1, 2):
        await insert_shipment(pool, order, n=n, quantities={"43243": 1})
    for number in ("100002", "100003"):
        await insert_shipment(pool, await insert_order(pool, number))
    await insert_shipment(pool, await insert_order(pool, "free"), capture_wanted=False)
    await insert_shipment(pool, await insert_order(pool, "held"), status="ONHOLD")
    async with serve_api(settings, pool) as api, asyncio.TaskGroup() as group:
        repeated = [group.create_task(api.complete("100001-1")) for _ in range(20)]
        await until(lambda: pool.fetchval("SELECT count(*) FROM captures"))
        # Twenty calls for one shipment hold one connection between them.
        assert (await api.complete("100002-1")).status == 200
        second = group.create_task(api.complete("100001-2"))
        await until(
            lambda: pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        further = await api.complete("100003-1")
        assert (further.status, "Retry-After" in further.headers) == (503, True)
        others = [await api.complete(number) for number in ("none", "100002-1", "held-1", "free-1")]
        assert [answer.status for answer in others] == [404, 409, 400, 200]
    assert await pool.fetchval("SELECT count(*) FROM captures WHERE state = 'PENDING'") == 0
    assert Counter(task.result().status for task in repeated) == {200: 1, 409: 19}
    assert second.result().status == 200


async def test_a_provider_that_is_away_is_503_and_the_retry_ships(
    api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    await insert_shipment(pool, await insert_order(pool))
    async with serve_api(api_settings.model_copy(update={"payment_url": "http://127.0.0.1:1"}), pool) as api:
        answer = await api.complete("100001-1")
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    async with serve_api(api_settings, pool) as api:
        assert (await api.complete("100001-1")).status == 200
    assert len(sandbox.ledger()) == 1


async def test_an_order_of_a_provider_that_is_not_configured_is_503(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool, payment_provider="nobody"))
    assert (await api.complete("100001-1")).status == 503
    assert await status_of(pool, "100001-1") == "RELEASED"


async def test_the_event_carries_the_callers_request_and_trace(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await api.call(
        "POST",
        COMPLETE,
        json={"shipmentNumber": "100001-1"},
        headers={
            "API-Authorization": api.key.secret,
            "X-Request-Id": "wms-42",
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
        },
    )
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, "wms-42")
    row = await pool.fetchrow("SELECT request_id, traceparent FROM events")
    assert row["request_id"] == "wms-42"
    assert row["traceparent"].startswith(f"00-{trace}-")
