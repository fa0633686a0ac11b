"""Orders over HTTP: PUT and GET, and every refusal."""

from __future__ import annotations

import io
import json
from typing import Any

import asyncpg
import pytest

from schemas.paths import ORDERS_BASE as BASE
from service.http.bodies import LARGEST_LIMIT
from service.keys import Scope, create_key
from tests.support.api import Api
from tests.support.orders import order_body

Pool = asyncpg.Pool
PATH = f"{BASE}/100001"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_put_creates_then_changes_nothing_then_replaces(api: Api) -> None:
    body = order_body({"shipments": []})
    answer = await api.call("PUT", PATH, json=body)
    assert (answer.status, answer.body) == (
        201,
        {"orderNumber": "100001", "status": "created", "shipments": []},
    )
    answer = await api.call("PUT", PATH + "/", json=body)
    assert (answer.status, answer.body["status"]) == (200, "unchanged")
    answer = await api.call("PUT", PATH, json=order_body())
    assert (answer.status, answer.body) == (
        200,
        {"orderNumber": "100001", "status": "updated", "shipments": ["100001-1"]},
    )
    answer = await api.call("PUT", PATH, json=body)
    assert (answer.status, answer.body) == (
        409,
        {"error": "Order 100001 can no longer be changed: shipments[0]: given -> not given"},
    )


async def test_the_request_id_and_trace_travel_with_the_events(api: Api, pool: Pool) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {
        **bearer(api.key.secret),
        "X-Request-Id": "import-7",
        "traceparent": f"00-{trace_id}-b7ad6b7169203331-01",
    }
    answer = await api.call("PUT", PATH, json=order_body(), headers=headers)
    assert answer.headers["X-Request-Id"] == "import-7"
    events = await pool.fetch("SELECT request_id, traceparent FROM events")
    assert len(events) == 2
    assert {event["request_id"] for event in events} == {"import-7"}
    assert {event["traceparent"].split("-")[1] for event in events} == {trace_id}


async def test_an_order_taken_in_can_be_completed(api: Api) -> None:
    await api.call("PUT", PATH, json=order_body())
    assert (await api.complete("100001-1", "1Z")).status == 200
    answer = await api.call("GET", PATH)
    assert (answer.body["status"], answer.body["capturedAmount"]) == ("IN_PROGRESS", "466.50")
    [shipment] = answer.body["shipments"]
    assert (shipment["status"], shipment["captureState"]) == ("SHIPPED", "CAPTURED")
    assert shipment["parcels"] == [{"trackingNumber": "1Z"}]
    answer = await api.call("PUT", PATH, json=order_body({"payment.authorization": "sandbox:ok#2"}))
    assert answer.status == 409
    answer = await api.call("PUT", PATH, json=order_body())
    assert (answer.status, answer.body["status"]) == (200, "unchanged")


async def test_get_tells_what_was_sent_and_where_it_stands(api: Api) -> None:
    await api.call("PUT", PATH, json=order_body())
    answer = await api.call("GET", PATH)
    assert answer.status == 200
    sent = order_body()
    for field in ("orderNumber", "store", "currency", "locale", "customer", "shippingAddress", "payment", "lines"):
        assert answer.body[field] == sent[field]
    assert (answer.body["status"], answer.body["shippingAmount"]) == ("CONFIRMED", "49.00")
    assert [shipment["number"] for shipment in answer.body["shipments"]] == ["100001-1"]


async def test_an_unknown_order_is_404(api: Api) -> None:
    answer = await api.call("GET", f"{BASE}/X-9")
    assert (answer.status, answer.body) == (404, {"error": "Order not found: X-9"})
    # What cannot be the number of an order is the number of no order.
    answer = await api.call("GET", f"{BASE}/%00")
    assert (answer.status, answer.body) == (404, {"error": "Order not found: \x00"})


@pytest.mark.parametrize(
    ("path", "changes", "error"),
    [
        (PATH, {"orderNumber": "100002"}, "orderNumber: expected 100001 as in the path, or none"),
        (
            f"{BASE}/%C3%A5",
            {"orderNumber": ...},
            "orderNumber in the path: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'",
        ),
        (PATH, {"currency": "JPY", "lines.0.unitPrice": "1"}, "lines[1].unitPrice: JPY has no decimals"),
        (PATH, {"currency": ...}, "currency: Field required, because the store has none"),
    ],
)
async def test_what_is_wrong_is_400_naming_the_field(
    api: Api, pool: Pool, path: str, changes: dict[str, Any], error: str
) -> None:
    answer = await api.call("PUT", path, json=order_body(changes))
    assert (answer.status, answer.body) == (400, {"error": error})
    assert await pool.fetchval("SELECT count(*) FROM orders") == 0


async def test_a_wrong_line_is_400_naming_it(api: Api) -> None:
    answer = await api.call("PUT", PATH, json=order_body({"lines.1.quantity": -1}))
    assert (answer.status, answer.body) == (
        400,
        {"error": "lines[1].quantity: expected a whole number from 1 to 1000000000"},
    )
    answer = await api.call("PUT", PATH, json=order_body({"shipments.0.lines": {"7": 1}}))
    assert (answer.status, answer.body) == (
        400,
        {"error": "shipments[0].lines.7: the order has no line with this lineId"},
    )


async def test_the_number_may_stand_in_the_path_alone(api: Api) -> None:
    answer = await api.call("PUT", PATH, json=order_body({"orderNumber": ...}))
    assert (answer.status, answer.body["orderNumber"]) == (201, "100001")


async def test_each_direction_has_its_scope(api: Api, pool: Pool) -> None:
    reader = await create_key(pool, partner="r", scopes=[Scope.READ_ORDERS])
    writer = await create_key(pool, partner="w", scopes=[Scope.WRITE_ORDERS])
    statuses = [
        (
            await api.call(method, PATH, headers=bearer(key.secret), json=order_body() if method == "PUT" else None)
        ).status
        for key in (reader, writer)
        for method in ("PUT", "GET")
    ]
    assert statuses == [403, 404, 201, 403]
    assert (await api.call("PUT", PATH, headers={}, json=order_body())).status == 401


async def test_a_big_order_is_welcome_and_a_huge_body_is_not(api: Api) -> None:
    lines = [{"lineId": n, "sku": "A", "name": "N" * 100, "quantity": 1, "unitPrice": "1.00"} for n in range(4_000)]
    answer = await api.call("PUT", PATH, json=order_body({"lines": lines, "shipments": []}))
    assert answer.status == 201
    body = io.BytesIO(json.dumps(order_body()).encode() + b" " * LARGEST_LIMIT)
    answer = await api.call(
        "PUT", PATH, data=body, headers=bearer(api.key.secret) | {"Content-Type": "application/json"}
    )
    assert answer.status == 413
    assert set(answer.body) == {"error"}


async def test_other_types_and_methods_are_refused(api: Api) -> None:
    headers = bearer(api.key.secret) | {"Content-Type": "application/xml"}
    assert (await api.call("PUT", PATH, data="<order/>", headers=headers)).status == 415
    answer = await api.call("POST", PATH, json=order_body())
    assert answer.status == 405
    assert "PUT" in answer.headers["Allow"]
