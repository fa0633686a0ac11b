"""What becomes of orders that events announce, whatever their sequence: the use cases on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from service.shipping.change_shipment import change_shipment
from service.shipping.errors import OrderConflict
from service.shipping.intake import IntakeResult, intake_order
from service.shipping.intake_by_event import take_created, take_released
from tests.support.order_events import standing
from tests.support.orders import intake
from tests.support.rows import TRACEPARENT

Pool = asyncpg.Pool
Take = Callable[..., Awaitable[IntakeResult]]

PLANNED = {"shipments.0.status": "INVENTORY_ASSIGNED"}
RELEASED_ONCE = {
    "status": "CONFIRMED",
    "waiting": False,
    "authorization": "sandbox:ok",
    "shipments": {"100001-1": "RELEASED"},
    "events": {"100001-1": ["created", "released"]},
}


async def take(pool: Pool, use_case: Take, changes: dict[str, Any] | None = None) -> str:
    async with pool.acquire() as connection:
        result = await use_case(connection, intake(changes), request_id="req-1", traceparent=TRACEPARENT)
    return result.outcome


SEQUENCES = sorted(set(permutations(["created", "created", "released", "released"])))


@pytest.mark.parametrize("kinds", SEQUENCES, ids="-".join)
@pytest.mark.parametrize(
    ("created", "released"),
    [
        (PLANNED, PLANNED),
        (PLANNED, {}),
        ({}, PLANNED),
        ({"shipments": []}, {}),
        ({"shipments.0.status": "AWAITING_INVENTORY"}, {}),
        ({"shipments.0.status": "ONHOLD", "status": "ONHOLD", "waitingForPayment": True}, PLANNED),
    ],
    ids=["as planned", "as it is by then", "good to go before", "shipments later", "inventory later", "holds resolved"],
)
async def test_created_and_released_end_the_same_in_any_sequence(
    pool: Pool, kinds: tuple[str, ...], created: dict[str, Any], released: dict[str, Any]
) -> None:
    messages = {"created": (take_created, created), "released": (take_released, released)}
    outcomes = [await take(pool, *messages[kind]) for kind in kinds]
    assert await standing(pool) == RELEASED_ONCE
    assert outcomes[0] == "created"
    # Nothing but the first release of a known order changes anything.
    changes_on_release = 0 if kinds[0] == "released" or created == {} else 1
    assert outcomes[1:].count("updated") == changes_on_release
    assert [await take(pool, *messages[kind]) for kind in kinds] == ["unchanged"] * 4


async def test_created_and_released_at_once_end_the_same(pool: Pool) -> None:
    outcomes = await asyncio.gather(
        *(take(pool, use_case, PLANNED) for use_case in (take_created, take_released) for _ in range(4))
    )
    assert await standing(pool) == RELEASED_ONCE
    assert outcomes.count("created") == 1


async def test_an_order_that_is_only_created_is_not_released(pool: Pool) -> None:
    assert await take(pool, take_created, PLANNED) == "created"
    assert (await standing(pool))["shipments"] == {"100001-1": "INVENTORY_ASSIGNED"}
    assert (await standing(pool))["events"] == {"100001-1": ["created"]}


def split(first: str, second: str, **changes: Any) -> dict[str, Any]:
    shipments = [{"status": first, "lines": {"43243": 2}}, {"status": second, "lines": {"43244": 1}}]
    return {"shipments": shipments, **changes}


async def test_a_release_releases_only_what_is_there_to_send(pool: Pool) -> None:
    await take(pool, take_created, split("INVENTORY_ASSIGNED", "AWAITING_INVENTORY"))
    await take(pool, take_released, split("INVENTORY_ASSIGNED", "AWAITING_INVENTORY"))
    assert (await standing(pool))["shipments"] == {"100001-1": "RELEASED", "100001-2": "AWAITING_INVENTORY"}
    assert await take(pool, take_released, split("RELEASED", "RELEASED")) == "updated"
    assert (await standing(pool))["shipments"] == {"100001-1": "RELEASED", "100001-2": "RELEASED"}
    # The earlier release once more, late: it undoes nothing.
    assert await take(pool, take_released, split("RELEASED", "AWAITING_INVENTORY")) == "unchanged"
    assert await take(pool, take_released, split("ONHOLD", "ONHOLD")) == "unchanged"
    assert (await standing(pool))["events"] == {
        "100001-1": ["created", "released"],
        "100001-2": ["created", "released"],
    }


async def test_the_event_of_a_release_tells_the_shipment(pool: Pool) -> None:
    await take(pool, take_created, PLANNED)
    await take(pool, take_released, PLANNED)
    row = await pool.fetchrow("SELECT * FROM events e JOIN outbox o ON o.event_id = e.id WHERE sequence = 2")
    body = json.loads(row["body"])
    assert (row["type"], row["request_id"], row["traceparent"]) == ("order-shipment-released", "req-1", TRACEPARENT)
    assert (body["guid"], body["data"]["status"], body["data"]["sequence"]) == ("100001-1", "RELEASED", 2)
    assert body["data"]["lines"] == [
        {"lineId": "43243", "sku": "A-1", "quantity": 2},
        {"lineId": "43244", "sku": "B-2", "quantity": 1},
    ]
    assert await pool.fetchval("SELECT good_to_go FROM shipments")


@pytest.mark.parametrize("use_case", [take_created, take_released])
async def test_what_contradicts_the_known_order_changes_nothing(pool: Pool, use_case: Take) -> None:
    await take(pool, take_created, PLANNED)
    before = await everything(pool)
    with pytest.raises(OrderConflict) as raised:
        await take(pool, use_case, {"lines.0.quantity": 3, "customer.email": "other@example.com"})
    assert str(raised.value) == (
        "Order 100001 can no longer be changed: customer.email: differs; lines[0].quantity: 2 -> 3"
    )
    more = {"shipments": [{"status": "RELEASED", "lines": {line: 1}} for line in ("43243", "43244")]}
    with pytest.raises(
        OrderConflict, match=r"shipments\[0\]\.lines\.43243: 2 -> 1; .*shipments\[1\]: not given -> given$"
    ):
        await take(pool, use_case, more)
    assert await everything(pool) == before


async def test_a_creation_never_changes_a_known_order_even_where_put_could(pool: Pool) -> None:
    await take(pool, take_created, {"shipments": []})
    for changes in (
        {"shipments": [], "shippingAmount": 0},
        {"shipments": [], "payment.authorization": "sandbox:2"},
        {},
    ):
        with pytest.raises(OrderConflict):
            await take(pool, take_created, changes)
    assert (await standing(pool))["shipments"] == {}


async def test_a_release_may_change_what_put_may(pool: Pool) -> None:
    await take(pool, take_created, {"shipments": []})
    assert await take(pool, take_released, {"shippingAmount": 0, **PLANNED}) == "updated"
    assert await pool.fetchval("SELECT shipping_amount FROM orders") == 0
    assert await take(pool, take_released, {"shippingAmount": 0, "payment.authorization": "sandbox:2"}) == "updated"
    assert await standing(pool) == RELEASED_ONCE | {"authorization": "sandbox:2"}
    # The creation, late: it does not bring the old authorization back.
    with pytest.raises(OrderConflict, match=r"payment\.authorization: differs$"):
        await take(pool, take_created, {"shippingAmount": 0})
    assert (await standing(pool))["authorization"] == "sandbox:2"


async def test_a_release_brings_a_new_authorization_along(pool: Pool) -> None:
    await take(pool, take_created, PLANNED)
    assert await take(pool, take_released, {"payment.authorization": "sandbox:2"}) == "updated"
    assert await standing(pool) == RELEASED_ONCE | {"authorization": "sandbox:2"}
    assert await take(pool, take_released, {"payment.authorization": "sandbox:2"}) == "unchanged"


async def test_an_authorization_that_money_was_taken_with_stays(pool: Pool) -> None:
    await take(pool, take_created, PLANNED)
    await pool.execute(
        "INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider, payment_authorization,"
        " amount, shipping_part, currency, state)"
        " SELECT order_id, id, 1, 'k', 'sandbox', 'sandbox:ok', 1, 0, 'SEK', 'PENDING' FROM shipments"
    )
    with pytest.raises(OrderConflict, match="a capture with the known one is pending or made"):
        await take(pool, take_released, {"payment.authorization": "sandbox:2"})
    assert (await standing(pool))["shipments"] == {"100001-1": "INVENTORY_ASSIGNED"}
    assert await take(pool, take_released) == "updated"


@pytest.mark.parametrize("status", ["SHIPPED", "CANCELLED"])
async def test_what_has_gone_further_stays_there(pool: Pool, status: str) -> None:
    await take(pool, take_created, PLANNED)
    await pool.execute(
        "UPDATE shipments SET status = $1::text, shipped_at = CASE WHEN $1 = 'SHIPPED' THEN now() END", status
    )
    await take(pool, take_released)
    assert (await standing(pool))["shipments"] == {"100001-1": status}
    assert (await standing(pool))["events"] == {"100001-1": ["created"]}


async def test_a_hold_of_somebody_here_is_not_lifted_from_there(pool: Pool) -> None:
    await take(pool, take_created, split("INVENTORY_ASSIGNED", "INVENTORY_ASSIGNED"))
    await pool.execute("UPDATE orders SET status = 'ONHOLD', waiting_for_payment = true")
    await pool.execute("UPDATE shipments SET status = 'ONHOLD' WHERE n = 2")
    await take(pool, take_released, split("RELEASED", "RELEASED"))
    found = await standing(pool)
    assert (found["status"], found["waiting"]) == ("ONHOLD", True)
    assert found["shipments"] == {"100001-1": "RELEASED", "100001-2": "ONHOLD"}


async def test_a_cancelled_order_is_not_released(pool: Pool) -> None:
    await take(pool, take_created, PLANNED)
    await pool.execute("UPDATE orders SET status = 'CANCELLED'")
    with pytest.raises(OrderConflict, match="it is CANCELLED"):
        await take(pool, take_released)
    assert await take(pool, take_created, PLANNED) == "unchanged"


async def test_what_was_taken_back_over_http_is_not_released_by_the_same_message(pool: Pool) -> None:
    await take(pool, take_released)
    async with pool.acquire() as connection:
        await change_shipment(connection, "100001-1", good_to_go=False, request_id="r", traceparent=TRACEPARENT)
    assert await take(pool, take_released) == "unchanged"
    assert (await standing(pool))["shipments"] == {"100001-1": "INVENTORY_ASSIGNED"}


async def test_events_and_http_know_the_same_order(pool: Pool) -> None:
    await take(pool, intake_order, PLANNED)
    assert await take(pool, take_created) == "unchanged"
    assert await take(pool, take_released) == "updated"
    assert await take(pool, intake_order) == "unchanged"
    with pytest.raises(OrderConflict, match=r"shipments\[0\]\.status: RELEASED -> INVENTORY_ASSIGNED"):
        await take(pool, intake_order, PLANNED)


async def everything(pool: Pool) -> dict[str, list[Any]]:
    return {
        table: [dict(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1")]
        for table in ("orders", "order_lines", "shipments", "shipment_lines", "events", "outbox")
    }
