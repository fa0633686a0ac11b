"""`GET /orders`, `GET /shipments` and `GET /shipments/<id>` against the running service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Answer, Api, serve_api
from tests.support.rows import ADDRESS, Line, OrderRow, insert_order, insert_parcel, insert_shipment, insert_store
from tests.support.xml import assert_same

Pool = asyncpg.Pool

BASE = "/api/order-api"
PLACED = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)  # 19:30 in Stockholm
SHIRT, SOCKS = Line(), Line(line_id="43244", sku="B-2", name="Socks", quantity=3, unit_price=1950)
NOWHERE = {"carrier": "", "service": "", "trackingNumber": "", "trackingUrl": ""}


def person(prefix: str, **changes: str) -> dict[str, str]:
    fields = {
        "Name": "Åsa Öberg",
        "Company": "",
        "Address": "Storgatan 1",
        "CoAddress": "",
        "ZipCode": "111 22",
        "City": "Stockholm",
        "State": "",
        "Country": "SE",
        "Email": "asa@example.com",
    }
    return {f"{prefix}{name}": value for name, value in (fields | changes).items()}


async def order_in_stockholm(pool: Pool, number: str = "83651", **columns: Any) -> OrderRow:
    await insert_store(pool, time_zone="Europe/Stockholm")
    return await insert_order(pool, number, **{"lines": (SHIRT, SOCKS), "created_at": PLACED} | columns)


async def capture(pool: Pool, shipment_id: int, *, state: str = "CAPTURED", amount: int = 44700) -> None:
    """Insert a capture of the shipment that carries 49.00 of shipping cost, as reserve_capture counts it."""
    settled = state != "PENDING"
    await pool.execute(
        "WITH made AS (INSERT INTO captures (order_id, shipment_id, attempt, idempotency_key, provider,"
        " payment_authorization, amount, shipping_part, currency, state, provider_reference, settled_at)"
        " SELECT order_id, id, 1, shipment_number, 'sandbox', 'sandbox:ok', $2, 4900, 'SEK', $3, $4, $5"
        " FROM shipments WHERE id = $1 RETURNING order_id)"
        "UPDATE orders SET reserved_amount = $2, shipping_reserved = true FROM made WHERE id = order_id",
        shipment_id,
        amount,
        state,
        "ref-1" if state == "CAPTURED" else None,
        datetime.now(UTC) if settled else None,
    )


async def order_ids(api: Api, query: str = "") -> list[str]:
    return [row["orderId"] for row in (await listed(api, f"/orders{query}")).body["orders"]]


async def shipment_ids(api: Api, query: str = "") -> list[str]:
    return [row["shipmentId"] for row in (await listed(api, f"/shipments{query}")).body["shipments"]]


async def listed(api: Api, path: str) -> Answer:
    answer = await api.call("GET", BASE + path)
    assert (answer.status, answer.body["status"]) == (200, "ok")
    return answer


def told(body: Any) -> str:
    """Return JSON as text: to Python, 1 and true are the same."""
    return json.dumps(body, indent=1)


# Rows


async def test_an_order_is_told_with_the_documented_fields(api: Api, pool: Pool) -> None:
    order = await order_in_stockholm(
        pool,
        status="IN_PROGRESS",
        billing_address={
            "name": "Ekonomi",
            "company": "Öberg AB",
            "street": "Box 1",
            "street2": "c/o Ek",
            "postalCode": "11123",
            "city": "Solna",
            "region": "Uppland",
            "country": "NO",
        },
    )
    shipped = await insert_shipment(
        pool,
        order,
        status="SHIPPED",
        quantities={"43243": 2},
        shipped_at=PLACED + timedelta(minutes=10),
        return_slip_tracking="RET-1",
        internal_comment="fragile",
    )
    await insert_parcel(
        pool, shipped, carrier="Fedex", tracking_number="TRTTET5", tracking_url="https://example.com/TRTTET5"
    )
    await insert_parcel(pool, shipped, position=1, tracking_number="TRTTET6")
    await insert_shipment(pool, order, n=2, quantities={"43244": 1}, internal_comment="wrap it")
    await insert_shipment(pool, order, n=3, quantities={"43244": 1}, status="CANCELLED", internal_comment="gone")
    expected = {
        "status": "ok",
        "orders": [
            {
                "orderId": "83651",
                "orderStatus": 3,
                "orderDate": "2026-11-21 19:30:00",
                "orderStore": "se-web",
                "orderCurrency": "SEK",
                "hold": 0,
                "waitingForPayment": 0,
                "grandTotalValue": "505.50",
                "internalComment": "fragile\nwrap it",
                "paymentReference": "sandbox:ok",
                **person("delivery"),
                **person(
                    "billing",
                    Name="Ekonomi",
                    Company="Öberg AB",
                    Address="Box 1",
                    CoAddress="c/o Ek",
                    ZipCode="11123",
                    City="Solna",
                    State="Uppland",
                    Country="NO",
                ),
                "products": [
                    {"lineId": "43243", "sku": "A-1", "name": "Shirt", "qty": 2, "price": "199.00"},
                    {"lineId": "43244", "sku": "B-2", "name": "Socks", "qty": 3, "price": "19.50"},
                ],
                "shipments": [
                    {
                        "shipmentId": "83651-1",
                        "shippedDate": "2026-11-21 19:40:00",
                        "carrier": "Fedex",
                        "service": "Express",
                        "trackingId": "TRTTET5",
                        "trackingUrl": "https://example.com/TRTTET5",
                        "returnSlipTracking": "RET-1",
                    },
                    {
                        "shipmentId": "83651-2",
                        "shippedDate": "0000-00-00 00:00:00",
                        "carrier": "",
                        "service": "",
                        "trackingId": "",
                        "trackingUrl": "",
                        "returnSlipTracking": "",
                    },
                ],
            }
        ],
    }
    assert told((await listed(api, "/orders")).body) == told(expected)


async def test_a_shipment_is_told_with_its_order_and_what_is_on_it(api: Api, pool: Pool) -> None:
    order = await order_in_stockholm(pool, status="IN_PROGRESS")
    shipment = await insert_shipment(
        pool,
        order,
        status="SHIPPED",
        quantities={"43243": 2},
        shipped_at=PLACED + timedelta(minutes=10),
        return_slip_tracking="RET-1",
        internal_comment="fragile",
    )
    await insert_parcel(pool, shipment, carrier="Fedex", service=None, tracking_number="TRTTET5")
    await capture(pool, shipment.id)
    row = {
        "orderId": "83651",
        "orderStatus": 3,
        "orderDate": "2026-11-21 19:30:00",
        "orderStore": "se-web",
        "orderCurrency": "SEK",
        "hold": 0,
        "waitingForPayment": 0,
        "grandTotalValue": "447.00",
        "internalComment": "fragile",
        "paymentReference": "sandbox:ok",
        **person("delivery"),
        **person("billing"),
        "shipmentId": "83651-1",
        "gtg": 1,
        "paid": 1,
        "shouldCapture": 0,
        "shippedDate": "2026-11-21 19:40:00",
        "carrier": "Fedex",
        "service": "",
        "trackingNumber": "TRTTET5",
        "trackingUrl": "",
        "returnSlipTracking": "RET-1",
        "products": [{"lineId": "43243", "sku": "A-1", "name": "Shirt", "qty": 2, "price": "199.00"}],
        "deliveryNote": "",
        "proforma": "",
        "invoices": [],
    }
    for path in ("/shipments?status=completed", "/shipments/83651-1"):
        assert told((await listed(api, path)).body) == told({"status": "ok", "shipments": [row]})


async def test_parcels_are_told_to_those_who_ask(api: Api, pool: Pool) -> None:
    order = await order_in_stockholm(pool)
    shipment = await insert_shipment(pool, order, status="SHIPPED", quantities={"43243": 2})
    await insert_parcel(pool, shipment, position=1, carrier="DHL", service=None, tracking_number="2")
    await insert_parcel(pool, shipment, position=0, tracking_number="1", tracking_url="https://example.com/1")
    await insert_shipment(pool, order, n=2, quantities={"43244": 1})
    parcels = [
        {"carrier": "UPS", "service": "Express", "trackingNumber": "1", "trackingUrl": "https://example.com/1"},
        {"carrier": "DHL", "service": "", "trackingNumber": "2", "trackingUrl": ""},
    ]
    for path in ("/shipments?status=completed&parcels=1", "/shipments/83651-1?parcels=true"):
        assert [row["parcels"] for row in (await listed(api, path)).body["shipments"]] == [parcels]
    [row] = (await listed(api, "/shipments?parcels=1")).body["shipments"]
    assert (row["parcels"], {name: row[name] for name in NOWHERE}) == ([], NOWHERE)
    for path in ("/shipments?status=completed", "/shipments?parcels=0", "/shipments/83651-1"):
        assert all("parcels" not in row for row in (await listed(api, path)).body["shipments"])


@pytest.mark.parametrize(
    ("status", "code", "hold"),
    [("CONFIRMED", 2, 0), ("ONHOLD", 2, 1), ("IN_PROGRESS", 3, 0), ("COMPLETED", 4, 0), ("CANCELLED", 6, 0)],
)
async def test_an_orders_status_is_a_number(api: Api, pool: Pool, status: str, code: int, hold: int) -> None:
    await order_in_stockholm(pool, status=status, waiting_for_payment=True)
    [row] = (await listed(api, "/orders")).body["orders"]
    assert (row["orderStatus"], row["hold"], row["waitingForPayment"]) == (code, hold, 1)


async def test_what_is_due_for_a_shipment_follows_its_capture(api: Api, pool: Pool) -> None:
    order = await order_in_stockholm(pool)
    first = await insert_shipment(pool, order, quantities={"43243": 1})
    await insert_shipment(pool, order, n=2, quantities={"43243": 1}, capture_wanted=False)
    third = await insert_shipment(pool, order, n=3, quantities={"43244": 1})

    async def due() -> list[tuple[int, int, str]]:
        rows = (await listed(api, "/shipments")).body["shipments"]
        return [(row["paid"], row["shouldCapture"], row["grandTotalValue"]) for row in rows]

    # Each as if it were captured next, so with the order's shipping cost.
    assert await due() == [(0, 1, "248.00"), (0, 0, "248.00"), (0, 1, "68.50")]
    await capture(pool, third.id, state="PENDING", amount=6850)
    assert await due() == [(0, 1, "199.00"), (0, 0, "199.00"), (0, 1, "68.50")]
    await pool.execute("UPDATE captures SET state = 'CAPTURED', provider_reference = 'r', settled_at = now()")
    assert await due() == [(0, 1, "199.00"), (0, 0, "199.00"), (1, 0, "68.50")]
    assert first.number == "83651-1"


async def test_amounts_have_the_decimals_of_their_currency(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool, currency="JPY", shipping_amount=500))
    [row] = (await listed(api, "/shipments")).body["shipments"]
    assert (row["grandTotalValue"], row["products"][0]["price"]) == ("40300", "19900")


# Which rows, and in which sequence


async def test_twenty_rows_are_a_page_and_pages_cover_everything_once(api: Api, pool: Pool) -> None:
    # Those that came in last were placed first, and every second one at the same moment as the one before it.
    for number in range(45):
        order = await insert_order(pool, str(200_000 + number), created_at=PLACED - timedelta(seconds=number // 2))
        await insert_shipment(pool, order)
    oldest_first = [str(200_000 + number) for number in sorted(range(45), key=lambda number: (-(number // 2), number))]
    shipments = [f"{200_000 + number}-1" for number in range(45)]
    assert await order_ids(api) == oldest_first[:20]
    assert await shipment_ids(api) == shipments[:20]
    pages = [await order_ids(api, f"?limit=7&offset={offset}") for offset in range(0, 49, 7)]
    assert [len(page) for page in pages] == [7] * 6 + [3]
    assert [number for page in pages for number in page] == oldest_first
    pages = [await shipment_ids(api, f"?limit=7&offset={offset}") for offset in range(0, 49, 7)]
    assert [number for page in pages for number in page] == shipments
    assert await order_ids(api, "?offset=45") == []


async def test_one_order_can_be_asked_for(api: Api, pool: Pool) -> None:
    for number in ("83650", "83651", "836511"):
        order = await insert_order(pool, number, created_at=PLACED)
        await insert_shipment(pool, order, quantities={"43243": 1})
        await insert_shipment(pool, order, n=2, quantities={"43243": 1}, status="INVENTORY_ASSIGNED")
    assert await order_ids(api, "?order=83651") == ["83651"]
    assert await order_ids(api, "?order=83651&offset=1") == []
    assert await order_ids(api, "?order=83651&newer_than=2026-11-22") == []
    assert await order_ids(api, "?order=99") == []
    assert await shipment_ids(api, "?order=83651") == ["83651-1"]
    assert await shipment_ids(api, "?order=83651&status=inprogress") == ["83651-1", "83651-2"]
    assert await shipment_ids(api, "?order=83651&status=inprogress&limit=1&offset=1") == ["83651-2"]
    assert await shipment_ids(api, "?order=83651&status=completed") == []
    assert await shipment_ids(api, "?order=99") == []


async def test_a_blank_parameter_is_one_left_out(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    blank = "?limit=&offset=&order=&newer_than=&older_than=&whatever=1"
    assert await order_ids(api, blank) == ["100001"]
    assert await order_ids(api, "?newer_than=0000-00-00+00:00:00") == ["100001"]
    assert await shipment_ids(api, "?status=&order=") == ["100001-1"]


@pytest.fixture
async def two_stores(pool: Pool) -> None:
    """Orders of two stores, six hours apart by their clocks. All were placed at half past of the hour in their name."""
    await insert_store(pool, "se-web", time_zone="Europe/Stockholm")
    await insert_store(pool, "us-web", time_zone="America/New_York")
    for hour in range(10, 20):
        for store in ("se", "us"):
            placed = datetime(2026, 11, 21, hour, 30, tzinfo=UTC)
            await insert_order(pool, f"{store}-{hour}", store=f"{store}-web", created_at=placed)


@pytest.mark.usefixtures("two_stores")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("newer_than=2026-11-21T18:30:00Z", ["se-18", "us-18", "se-19", "us-19"]),
        ("newer_than=2026-11-21T18:30:01Z", ["se-19", "us-19"]),
        ("newer_than=2026-11-21T19:30:01%2B01:00", ["se-19", "us-19"]),
        ("newer_than=2026-11-21T19:30:01+01:00", ["se-19", "us-19"]),
        ("older_than=2026-11-21T11:30:00Z", ["se-10", "us-10"]),
        ("newer_than=2026-11-21T11:00Z&older_than=2026-11-21T12:00Z", ["se-11", "us-11"]),
        # On the clock of each order's store: 12:30 in Stockholm is 11:30 UTC, in New York it is 17:30 UTC.
        ("older_than=2026-11-21+12:30:00", ["se-10", "us-10", "us-11", "us-12", "us-13", "us-14", "us-15", "us-16"]),
        ("newer_than=2026-11-21+14:00:00", ["se-13", "se-14", "se-15", "se-16", "se-17", "se-18", "se-19", "us-19"]),
        ("newer_than=2026-11-21+14:00:00&older_than=2026-11-21+15:00:00", ["se-13", "us-19"]),
        ("newer_than=2026-11-21+14:00:00&limit=2&offset=6", ["se-19", "us-19"]),
        ("newer_than=2026-11-22", []),
        ("older_than=2026-11-21", []),
        ("newer_than=2026-11-21&older_than=2026-11-21+06:00", ["us-10"]),
    ],
)
async def test_orders_are_picked_by_the_time_they_were_placed(api: Api, query: str, expected: list[str]) -> None:
    assert await order_ids(api, f"?{query}") == expected


async def test_asking_on_from_the_newest_date_seen_misses_nothing(api: Api, pool: Pool) -> None:
    """Also not in the hour that comes twice when summer time ends."""
    await insert_store(pool, time_zone="Europe/Stockholm")
    for number, minute in enumerate(range(0, 180, 20)):
        placed = datetime(2026, 10, 24, 23, 30, tzinfo=UTC) + timedelta(minutes=minute, milliseconds=number)
        await insert_order(pool, f"{number}", created_at=placed)
    everything = await order_ids(api)
    for seen in (await listed(api, "/orders")).body["orders"]:
        after = everything[everything.index(seen["orderId"]) :]
        found = await order_ids(api, f"?newer_than={seen['orderDate'].replace(' ', '+')}")
        assert found[-len(after) :] == after
        before = await order_ids(api, f"?older_than={seen['orderDate'].replace(' ', '+')}")
        # Where windows meet, an order is never in neither.
        assert set(found) | set(before) == set(everything)


async def test_the_three_lists_of_shipments(api: Api, pool: Pool) -> None:
    order = await insert_order(pool, "1", lines=(Line(quantity=20),))
    statuses = [
        ("RELEASED", {}),
        ("INVENTORY_ASSIGNED", {}),
        ("INVENTORY_ASSIGNED", {"good_to_go": True}),
        ("AWAITING_INVENTORY", {}),
        ("ONHOLD", {"good_to_go": True}),
        ("SHIPPED", {}),
        ("CANCELLED", {"good_to_go": True}),
        ("FAILED_ORDER", {}),
        ("PROVISIONAL", {"good_to_go": True}),
    ]
    for n, (status, columns) in enumerate(statuses, start=1):
        await insert_shipment(pool, order, n=n, status=status, quantities={"43243": 1}, **columns)
    for number, columns in {"2": {"status": "ONHOLD"}, "3": {"waiting_for_payment": True}}.items():
        await insert_shipment(pool, await insert_order(pool, number, **columns))
    in_progress = ["1-1", "1-2", "1-3", "1-4", "1-5"]
    for query in ("", "&order=1"):
        assert await shipment_ids(api, f"?status=goodtogo{query}") == ["1-1", "1-3"]
        assert await shipment_ids(api, f"?status=completed{query}") == ["1-6"]
    assert await shipment_ids(api) == ["1-1", "1-3"]
    assert await shipment_ids(api, "?status=InProgress") == [*in_progress, "2-1", "3-1"]
    assert await shipment_ids(api, "?status=inprogress&order=1") == in_progress
    # What the order holds back is not good to go.
    assert await shipment_ids(api, "?order=2") == await shipment_ids(api, "?order=3") == []
    [row] = (await listed(api, "/orders?order=1")).body["orders"]
    assert [each["shipmentId"] for each in row["shipments"]] == [*in_progress, "1-6"]


async def test_a_shipment_is_found_in_every_status_but_those_that_nobody_is_told_of(api: Api, pool: Pool) -> None:
    order = await insert_order(pool, "1", lines=(Line(quantity=20),))
    gone = {"CANCELLED", "FAILED_ORDER", "PROVISIONAL"}
    for n, status in enumerate(["SHIPPED", "ONHOLD", "AWAITING_INVENTORY", *gone], start=1):
        await insert_shipment(pool, order, n=n, status=status, quantities={"43243": 1})
        answer = await api.call("GET", f"{BASE}/shipments/1-{n}")
        assert answer.status == 200
        if status in gone:
            assert answer.body == {"status": "no", "msg": "shipment does not exist", "order": 1, "shipment": f"1-{n}"}
        else:
            assert [row["shipmentId"] for row in answer.body["shipments"]] == [f"1-{n}"]


# Refusals


@pytest.mark.parametrize("number", ["83651-1", "1%00", "%F0%9F%93%A6", "a%2Fb", "x" * 500])
async def test_an_unknown_shipment_is_a_no(api: Api, number: str) -> None:
    answer = await api.call("GET", f"{BASE}/shipments/{number}")
    assert (answer.status, answer.body["status"], answer.body["msg"]) == (200, "no", "shipment does not exist")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/orders?limit=0", "limit"),
        ("/orders?limit=501", "limit"),
        ("/orders?limit=all", "limit"),
        ("/orders?limit=99999999999999999999999", "limit"),
        ("/orders?offset=-1", "offset"),
        ("/orders?offset=9223372036854775808", "offset"),
        ("/orders?order=a%20b", "order"),
        ("/orders?order=1%00", "order"),
        ("/orders?newer_than=yesterday", "newer_than"),
        ("/orders?newer_than=1764000000", "newer_than"),
        ("/orders?older_than=2026-02-30", "older_than"),
        ("/orders?older_than=2026-01-01+25:00:00", "older_than"),
        ("/shipments?status=lost", "status"),
        ("/shipments?limit=1.5", "limit"),
        ("/shipments?offset=x", "offset"),
        ("/shipments?order=%2D", "order"),
    ],
)
async def test_a_wrong_value_is_refused_by_its_name(api: Api, path: str, parameter: str) -> None:
    answer = await api.call("GET", BASE + path)
    assert (answer.status, answer.body["status"]) == (400, "no")
    assert answer.body["msg"].startswith(f"{parameter}: ")


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/orders", Scope.READ_ORDERS), ("/shipments", Scope.READ_SHIPMENTS), ("/shipments/1-1", Scope.READ_SHIPMENTS)],
)
async def test_each_list_needs_its_scope(api: Api, pool: Pool, path: str, scope: Scope) -> None:
    await insert_shipment(pool, await insert_order(pool, "1"))
    right = await create_key(pool, partner="right", scopes=[scope])
    wrong = await create_key(pool, partner="wrong", scopes=[other for other in Scope if other is not scope])
    for header in ("API-Authorization", "Authorization"):
        prefix = "Bearer " if header == "Authorization" else ""
        answer = await api.call("GET", BASE + path, headers={header: prefix + right.secret})
        assert (answer.status, answer.body["status"]) == (200, "ok")
        answer = await api.call("GET", BASE + path, headers={header: prefix + wrong.secret})
        assert (answer.status, answer.body) == (403, {"status": "Not Allowed"})
    answer = await api.call("GET", BASE + path, headers={})
    assert (answer.status, answer.body["status"]) == (401, "no")


# Spelling


@pytest.mark.parametrize("path", ["/orders", "/shipments", "/shipments/83651-1"])
async def test_a_trailing_slash_is_tolerated(api: Api, pool: Pool, path: str) -> None:
    await insert_shipment(pool, await order_in_stockholm(pool))
    assert (await listed(api, f"{path}/?limit=5")).body == (await listed(api, path)).body


@pytest.mark.parametrize(
    "path",
    [
        "/orders",
        "/orders?order=99",
        "/orders?limit=x",
        "/shipments?status=completed&parcels=1",
        "/shipments?parcels=1",
        "/shipments?status=lost",
        "/shipments/83651-1",
        "/shipments/83651-9",
    ],
)
async def test_xml_says_what_json_says(api: Api, pool: Pool, path: str) -> None:
    order = await order_in_stockholm(pool, shipping_address=ADDRESS | {"street": "<b>&amp; 'Gränd' \"2\"</b>"})
    shipped = await insert_shipment(pool, order, status="SHIPPED", quantities={"43243": 2})
    await insert_parcel(pool, shipped, tracking_url="https://example.com/?a=1&b=2")
    await insert_parcel(pool, shipped, position=1)
    await insert_shipment(pool, order, n=2, quantities={"43244": 1})
    json_answer = await api.call("GET", BASE + path)
    xml_answer = await api.call("GET", f"{BASE}{path}{'&' if '?' in path else '?'}xml=1")
    assert xml_answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert xml_answer.status == json_answer.status
    assert_same(xml_answer.body, json_answer.body)


async def test_the_prefix_is_a_setting(api_settings: Settings, pool: Pool) -> None:
    settings = api_settings.model_copy(update={"order_api_prefix": "/shop/v1"})
    async with serve_api(settings, pool) as api:
        assert (await api.call("GET", "/shop/v1/orders")).body == {"status": "ok", "orders": []}
        assert (await api.call("GET", f"{BASE}/orders")).status == 404


# Links


@pytest.fixture
async def linking(api_settings: Settings, pool: Pool) -> AsyncIterator[Api]:
    """An API that signs links to documents."""
    async with serve_api(api_settings.model_copy(update={"documents_secret": "s" * 32}), pool) as api:
        yield api


async def test_rows_link_to_the_documents_that_exist(linking: Api, pool: Pool) -> None:
    order = await order_in_stockholm(pool)
    paid = await insert_shipment(pool, order, quantities={"43243": 2})
    await capture(pool, paid.id)
    await insert_shipment(pool, order, n=2, quantities={"43244": 1})
    first, second = (await listed(linking, "/shipments")).body["shipments"]
    for row in (first, second):
        for field, slug in (("deliveryNote", "delivery-note"), ("proforma", "proforma")):
            start = f"{linking.url}/documents/{row['shipmentId']}/{slug}.pdf?token="
            assert row[field].startswith(start)
    assert [link.partition("?")[0] for link in first["invoices"]] == [f"{linking.url}/documents/83651-1/invoice.pdf"]
    assert second["invoices"] == []


async def test_links_lead_where_the_service_is_seen_from_outside(api_settings: Settings, pool: Pool) -> None:
    await insert_shipment(pool, await insert_order(pool))
    settings = api_settings.model_copy(
        update={"documents_secret": "s" * 32, "public_url": "https://shop.example.com/waybill"}
    )
    async with serve_api(settings, pool) as api:
        [row] = (await listed(api, "/shipments")).body["shipments"]
    assert row["proforma"].startswith("https://shop.example.com/waybill/documents/100001-1/proforma.pdf?token=")


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("shop.example.com", "http://shop.example.com"),
        ("shop_api:8080", "http://shop_api:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        *((host, None) for host in ("", "a b", "[::1", "x:99999999", "a/b", "me@host", "<b>", 'a"b', "a?b", "h\u00e9")),
    ],
)
async def test_links_lead_to_the_address_that_the_caller_used(
    linking: Api, pool: Pool, host: str, base: str | None
) -> None:
    """What is no address is no reason to fail either: a shipment may just have been created."""
    await insert_order(pool)
    body = json.dumps({"order": "100001", "products": {"43243": 1}, "capture": False})
    reader, writer = await asyncio.open_connection("127.0.0.1", int(linking.url.rpartition(":")[2]))
    head = f"POST {BASE}/shipments HTTP/1.1\r\nHost: {host}\r\nAPI-Authorization: {linking.key.secret}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    answer = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    await writer.wait_closed()
    assert (answer["status"], answer["shipment"]) == ("ok", "100001-1")
    if base is None:
        assert set(answer) == {"status", "order", "shipment"}
    else:
        assert answer["proforma"].startswith(f"{base}/documents/100001-1/proforma.pdf?token=")
