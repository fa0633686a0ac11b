"""The intake against a real database: content, idempotence, what may change, and races."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from schemas.orders import IntakeOrder
from service.shipping.errors import InvalidRequest, OrderConflict, OrderNotFound
from service.shipping.intake import IntakeResult, intake_order
from service.shipping.orders import find_order
from tests.support.locks import until_somebody_waits
from tests.support.orders import intake
from tests.support.rows import TRACEPARENT

Pool = asyncpg.Pool


async def take(pool: Pool, order: IntakeOrder | None = None) -> IntakeResult:
    async with pool.acquire() as connection:
        return await intake_order(connection, order or intake(), request_id="req-1", traceparent=TRACEPARENT)


async def rows(pool: Pool, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1")]


async def everything(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    tables = ("stores", "orders", "order_lines", "shipments", "shipment_lines", "events", "outbox")
    return {table: await rows(pool, table) for table in tables}


async def capture_row(pool: Pool, *, state: str, amount: int) -> None:
    await pool.execute(
        "INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization,"
        " amount, shipping_part, currency, state, provider_reference, settled_at)"
        " SELECT order_id, id, 1, 'key', 'sandbox', 'sandbox:ok', $2::bigint, 0, 'SEK', $1::text,"
        " CASE WHEN $1 = 'CAPTURED' AND $2 > 0 THEN 'ref' END, CASE WHEN $1 <> 'PENDING' THEN now() END FROM shipments",
        state,
        amount,
    )


async def test_a_new_order_with_its_store_lines_shipments_and_events(pool: Pool) -> None:
    result = await take(pool)
    assert result == IntakeResult("100001", "created", ("100001-1",))
    found = await everything(pool)
    [store], [order], [shipment] = found["stores"], found["orders"], found["shipments"]
    assert (store["code"], store["name"], store["locale"], store["currency"]) == ("se-web", "se-web", "sv-SE", "SEK")
    assert (order["shipping_amount"], order["total_amount"]) == (4900, 4900 + 2 * 19900 + 3 * 1950)
    assert (order["status"], order["unshipped_quantity"], order["last_shipment_n"]) == ("CONFIRMED", 5, 1)
    assert order["reserved_amount"] == 0
    assert order["shipping_address"]["city"] == "Stockholm"
    assert [(line["line_id"], line["position"], line["allocated_quantity"]) for line in found["order_lines"]] == [
        ("43243", 0, 2),
        ("43244", 1, 1),
    ]
    assert (shipment["shipment_number"], shipment["status"], shipment["good_to_go"]) == ("100001-1", "RELEASED", True)
    assert (shipment["goods_amount"], shipment["piece_count"], shipment["event_sequence"]) == (41750, 3, 2)
    assert sorted(line["quantity"] for line in found["shipment_lines"]) == [1, 2]


async def test_the_events_of_new_shipments(pool: Pool) -> None:
    shipments = [
        {"status": "RELEASED", "lines": {"43244": 1, "43243": 1}},
        {"status": "ONHOLD", "lines": {"43243": 1}, "capture": False},
    ]
    await take(pool, intake({"shipments": shipments}))
    events = await pool.fetch(
        "SELECT type, subject, sequence, request_id, traceparent, body FROM events e JOIN outbox o ON o.event_id = e.id"
        " ORDER BY e.seq"
    )
    assert [(event["type"], event["subject"], event["sequence"]) for event in events] == [
        ("order-shipment-created", "100001-1", 1),
        ("order-shipment-released", "100001-1", 2),
        ("order-shipment-created", "100001-2", 1),
    ]
    assert {(event["request_id"], event["traceparent"]) for event in events} == {("req-1", TRACEPARENT)}
    body = json.loads(events[1]["body"])
    assert body["guid"] == "100001-1"
    assert body["data"]["lines"] == [
        {"lineId": "43243", "sku": "A-1", "quantity": 1},
        {"lineId": "43244", "sku": "B-2", "quantity": 1},
    ]
    assert (body["data"]["status"], body["data"]["notifyCustomer"]) == ("RELEASED", False)
    assert [row["event_sequence"] for row in await rows(pool, "shipments")] == [2, 1]
    assert [row["capture_wanted"] for row in await rows(pool, "shipments")] == [True, False]
    assert "asa@example.com" not in events[0]["body"]


async def test_the_same_content_again_changes_nothing(pool: Pool) -> None:
    await take(pool)
    before = await everything(pool)
    result = await take(pool, intake({"shippingAmount": 49, "locale": "sv_se", "lines.0.quantity": "2"}))
    assert result == IntakeResult("100001", "unchanged", ("100001-1",))
    assert await everything(pool) == before


async def test_without_shipments_everything_may_be_replaced(pool: Pool) -> None:
    await take(pool, intake({"shipments": []}))
    changed = intake(
        {
            "store": "de-web",
            "currency": "EUR",
            "locale": "de-DE",
            "customer.name": "Jörg",
            "billingAddress": {"street": "Weg 1", "city": "Ulm", "country": "DE"},
            "lines": [{"lineId": "9", "sku": "C", "name": "Hut", "quantity": 1, "unitPrice": "10"}],
            "shipments": [{"status": "INVENTORY_ASSIGNED", "lines": {"9": 1}}],
        }
    )
    assert await take(pool, changed) == IntakeResult("100001", "updated", ("100001-1",))
    [order] = await rows(pool, "orders")
    assert (order["store_code"], order["currency"], order["customer_name"]) == ("de-web", "EUR", "Jörg")
    assert (order["total_amount"], order["unshipped_quantity"]) == (5900, 1)
    assert order["billing_address"]["name"] == "Jörg"
    assert [line["line_id"] for line in await rows(pool, "order_lines")] == ["9"]
    assert await take(pool, changed) == IntakeResult("100001", "unchanged", ("100001-1",))
    with pytest.raises(OrderConflict):
        await take(pool, intake({"shipments": []}))


async def test_what_an_operator_set_stays_unless_the_content_changes_it(pool: Pool) -> None:
    await take(pool, intake({"shipments": []}))
    await pool.execute("UPDATE orders SET status = 'ONHOLD'")
    await take(pool, intake({"shipments": [], "shippingAmount": 0}))
    assert await pool.fetchval("SELECT status FROM orders") == "ONHOLD"
    await take(pool, intake({"shipments": [], "shippingAmount": 0, "waitingForPayment": True}))
    assert tuple(await pool.fetchrow("SELECT status, waiting_for_payment FROM orders")) == ("ONHOLD", True)
    await pool.execute("UPDATE orders SET status = 'CANCELLED'")
    with pytest.raises(OrderConflict, match="it is CANCELLED"):
        await take(pool, intake({"shipments": []}))


async def test_once_a_shipment_exists_a_difference_is_a_conflict_that_names_it(pool: Pool) -> None:
    await take(pool)
    before = await everything(pool)
    with pytest.raises(OrderConflict) as raised:
        await take(pool, intake({"lines.0.quantity": 3, "customer.email": "other@example.com"}))
    assert str(raised.value) == (
        "Order 100001 can no longer be changed: customer.email: differs; lines[0].quantity: 2 -> 3"
    )
    assert await everything(pool) == before


async def test_a_shipment_made_by_others_freezes_the_order_too(pool: Pool) -> None:
    await take(pool, intake({"shipments": []}))
    await pool.execute("UPDATE orders SET last_shipment_n = 1")
    with pytest.raises(OrderConflict):
        await take(pool)
    assert (await take(pool, intake({"shipments": []}))).outcome == "unchanged"


@pytest.mark.parametrize(
    ("capture", "allowed"),
    [
        (None, True),
        (("DECLINED", 100), True),
        (("CAPTURED", 0), True),
        (("PENDING", 1), False),
        (("CAPTURED", 1), False),
    ],
)
async def test_the_authorization_may_change_until_money_moves(
    pool: Pool, capture: tuple[str, int] | None, allowed: bool
) -> None:
    await take(pool)
    if capture:
        await capture_row(pool, state=capture[0], amount=capture[1])
    changed = intake({"payment.authorization": "sandbox:ok#2"})
    if allowed:
        assert await take(pool, changed) == IntakeResult("100001", "updated", ("100001-1",))
        assert await take(pool, changed) == IntakeResult("100001", "unchanged", ("100001-1",))
    else:
        with pytest.raises(OrderConflict, match="a capture with the known one is pending or made") as raised:
            await take(pool, changed)
        assert "sandbox:" not in str(raised.value)
    [order] = await rows(pool, "orders")
    assert order["payment_authorization"] == ("sandbox:ok#2" if allowed else "sandbox:ok")
    assert order["intake"]["payment"]["authorization"] == order["payment_authorization"]
    assert len(await rows(pool, "events")) == 2


async def test_the_authorization_does_not_slip_through_with_another_change(pool: Pool) -> None:
    await take(pool)
    with pytest.raises(OrderConflict):
        await take(pool, intake({"payment.authorization": "sandbox:ok#2", "locale": "de"}))
    assert await pool.fetchval("SELECT payment_authorization FROM orders") == "sandbox:ok"


async def test_currency_and_locale_come_from_the_store_and_then_stay(pool: Pool) -> None:
    plain = intake({"currency": ..., "locale": ...})
    with pytest.raises(InvalidRequest, match=r"^currency: Field required, because the store has none$"):
        await take(pool, plain)
    assert await rows(pool, "stores") == []
    await pool.execute("INSERT INTO stores (code, name, locale, currency) VALUES ('se-web', 'S', 'de-DE', 'EUR')")
    assert (await take(pool, plain)).outcome == "created"
    [order] = await rows(pool, "orders")
    assert (order["currency"], order["locale"]) == ("EUR", "de-DE")
    await pool.execute("UPDATE stores SET currency = 'JPY', locale = 'ja'")
    assert (await take(pool, plain)).outcome == "unchanged"
    assert (await take(pool, intake({"currency": "EUR", "locale": "de-DE"}))).outcome == "unchanged"


async def test_a_known_store_keeps_its_settings(pool: Pool) -> None:
    await pool.execute("INSERT INTO stores (code, name, locale, currency) VALUES ('se-web', 'Butiken', 'en', 'EUR')")
    await take(pool)
    [store] = await rows(pool, "stores")
    assert (store["name"], store["locale"], store["currency"]) == ("Butiken", "en", "EUR")


async def test_a_refused_order_leaves_nothing_behind(pool: Pool) -> None:
    with pytest.raises(InvalidRequest, match="JPY has no decimals"):
        await take(pool, intake({"currency": "JPY"}))
    with pytest.raises(InvalidRequest, match="orderNumber: Field required"):
        await take(pool, intake({"orderNumber": None}))
    assert all(not content for content in (await everything(pool)).values())


async def test_the_largest_order_fits(pool: Pool) -> None:
    line = order_line = {"sku": "S" * 100, "name": "N" * 500, "quantity": 1, "unitPrice": "0.01", "taxRate": "0.123456"}
    lines = [{**line, "lineId": f"{n:064d}"} for n in range(9_999)]
    lines.append({**order_line, "lineId": "last", "quantity": 1_000_000_000 - 9_999, "unitPrice": "0"})
    result = await take(
        pool,
        intake(
            {
                "orderNumber": "X" * 64,
                "store": "Y" * 64,
                "customer.name": "Å" * 200,
                "payment.authorization": "a" * 255,
                "shippingAmount": "9999999999899.99",
                "lines": lines,
                "shipments": [{"status": "RELEASED", "lines": {each["lineId"]: each["quantity"] for each in lines}}],
            }
        ),
    )
    assert result.shipments == ("X" * 64 + "-1",)
    [order] = await rows(pool, "orders")
    assert (order["total_amount"], order["unshipped_quantity"]) == (999_999_999_999_998, 1_000_000_000)


async def test_twenty_identical_intakes_at_once_make_one_order(pool: Pool) -> None:
    results = await asyncio.gather(*(take(pool) for _ in range(20)))
    assert sorted(result.outcome for result in results) == ["created"] + ["unchanged"] * 19
    assert {result.shipments for result in results} == {("100001-1",)}
    found = await everything(pool)
    assert [len(found[table]) for table in ("stores", "orders", "order_lines", "shipments")] == [1, 1, 2, 1]
    assert len(found["events"]) == len(found["outbox"]) == 2


async def test_of_two_contents_at_once_one_wins_and_the_other_hears_what_differs(pool: Pool) -> None:
    for n in range(10):
        orders = [
            intake({"orderNumber": f"r{n}", "lines.0.quantity": quantity, "shipments.0.lines": {"43243": 2}})
            for quantity in (4, 5)
        ]
        results = await asyncio.gather(*(take(pool, order) for order in orders), return_exceptions=True)
        [won] = [result for result in results if isinstance(result, IntakeResult)]
        [lost] = [result for result in results if isinstance(result, OrderConflict)]
        assert won.outcome == "created"
        quantity = await pool.fetchval(
            "SELECT quantity FROM order_lines l JOIN orders o ON o.id = l.order_id"
            " WHERE order_number = $1 AND line_id = '43243'",
            f"r{n}",
        )
        other = 9 - quantity
        assert lost.differences == (f"lines[0].quantity: {quantity} -> {other}",)


async def test_whoever_waits_for_an_intake_that_fails_goes_on_as_if_first(pool: Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await intake_order(connection, intake({"locale": "de"}), request_id="r", traceparent=TRACEPARENT)
        waiting = asyncio.create_task(take(pool))
        await until_somebody_waits(pool)
        await transaction.rollback()
    assert (await waiting).outcome == "created"
    assert await pool.fetchval("SELECT locale FROM orders") == "sv-SE"


async def test_a_new_authorization_waits_for_whoever_holds_the_order(pool: Pool) -> None:
    await take(pool)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM orders FOR UPDATE")
        waiting = asyncio.create_task(take(pool, intake({"payment.authorization": "sandbox:ok#2"})))
        await until_somebody_waits(pool)
        await connection.execute(
            "INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization,"
            " amount, shipping_part, currency, state)"
            " SELECT order_id, id, 1, 'k', 'sandbox', 'sandbox:ok', 1, 0, 'SEK', 'PENDING' FROM shipments"
        )
        await transaction.commit()
    with pytest.raises(OrderConflict):
        await waiting


async def test_reading_an_order(pool: Pool) -> None:
    await take(pool)
    await pool.execute("UPDATE shipments SET status = 'SHIPPED', shipped_at = '2026-11-21T18:40:00.123456Z'")
    await pool.execute("UPDATE orders SET status = 'IN_PROGRESS'")
    await capture_row(pool, state="CAPTURED", amount=46650)
    await pool.execute(
        "INSERT INTO parcels (shipment_id, position, carrier, tracking_number) SELECT id, 0, 'UPS', '1Z' FROM shipments"
    )
    async with pool.acquire() as connection:
        answer = json.loads((await find_order(connection, "100001")).model_dump_json(by_alias=True, exclude_none=True))
        with pytest.raises(OrderNotFound, match=r"^Order not found: 100002$"):
            await find_order(connection, "100002")
    assert (answer["status"], answer["totalAmount"], answer["capturedAmount"]) == ("IN_PROGRESS", "505.50", "466.50")
    assert answer["lines"][1]["unitPrice"] == "19.50"
    [shipment] = answer["shipments"]
    del shipment["createdAt"]
    assert shipment == {
        "number": "100001-1",
        "status": "SHIPPED",
        "goodToGo": True,
        "capture": True,
        "captureState": "CAPTURED",
        "goodsAmount": "417.50",
        "lines": {"43243": 2, "43244": 1},
        "parcels": [{"carrier": "UPS", "trackingNumber": "1Z"}],
        "shippedAt": "2026-11-21T18:40:00.123Z",
    }
