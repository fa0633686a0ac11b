"""The Order API to the letter: the examples of its two texts, the bodies of a real client, every documented message."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Api, serve_api
from tests.support.order_api import BASE, PIECE, SHIPPING, SOCK, Caller, contract_order
from tests.support.rows import Line, insert_order, insert_shipment
from tests.support.sandbox import Sandbox
from tests.support.xml import assert_same

Pool = asyncpg.Pool

UNSUPPORTED = "Action not supported by external payment plugin. Please do that action in your payment provider."
CREATE_EXAMPLE = b"""{
  "order": 83651,
  "products": {
    "43243": 1,
    "43244": 2
  }
}"""
COMPLETE_EXAMPLE = b"""{
     "shipment": "83651-1",
     "carrier": "Fedex",
     "service": "Express",
     "packages": 1,
     "trackingNumber": "TRTTET5",
     "capture": 1
   }"""


@pytest.fixture
async def order(pool: Pool) -> None:
    await contract_order(pool)


@pytest.fixture
def caller(api: Api, order: None) -> Caller:
    return Caller(api)


async def refused(pool: Pool, number: str = "83651") -> None:
    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:decline' WHERE order_number = $1", number)


async def test_the_example_of_create(caller: Caller, sandbox: Sandbox) -> None:
    answer = await caller.call("POST", "/shipments", CREATE_EXAMPLE, headers={"Content-type": "application/json"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert list(answer.body.items())[:3] == [("status", "ok"), ("order", 83651), ("shipment", "83651-1")]
    assert [entry["amount"] for entry in sandbox.ledger()] == [PIECE + 2 * SOCK + SHIPPING]


async def test_the_links_of_the_example_of_create(
    api_settings: Settings, pool: Pool, order: None, sandbox: Sandbox
) -> None:
    async with serve_api(api_settings.model_copy(update={"documents_secret": "s" * 32}), pool) as api:
        caller = Caller(api)
        body = await caller.create({"43243": 1})
        assert list(body) == ["status", "order", "shipment", "deliveryNote", "proforma", "invoice"]
        for name in ("deliveryNote", "proforma", "invoice"):
            assert body[name].startswith("http://")
        unpaid = await caller.create({"43243": 2}, capture=False)
        assert list(unpaid) == ["status", "order", "shipment", "deliveryNote", "proforma"]
        assert "invoice" in await caller.create({"43243": 2})
        assert "invoice" in await caller.create({"43243": 2}, capture=False)


async def test_the_example_of_complete(caller: Caller, pool: Pool) -> None:
    await caller.ok("POST", "/shipments", CREATE_EXAMPLE)
    answer = await caller.call("PUT", "/shipment", COMPLETE_EXAMPLE, headers={"Content-type": "application/json"})
    assert (answer.status, answer.body) == (200, {"status": "ok", "order": 83651, "shipment": "83651-1"})
    parcel = await pool.fetchrow("SELECT carrier, service, tracking_number, tracking_url FROM parcels")
    assert parcel is not None
    assert tuple(parcel) == ("Fedex", "Express", "TRTTET5", "https://www.fedex.com/fedextrack/?trknbr=TRTTET5")
    assert await pool.fetchval("SELECT package_count FROM shipments") == 1


async def test_the_error_example_of_complete(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1}, capture=False)
    await refused(pool)
    answer = await caller.call("PUT", "/shipment", COMPLETE_EXAMPLE)
    assert (answer.status, answer.body) == (
        200,
        {"status": "no", "msg": "capture failed", "order": 83651, "shipment": "83651-1"},
    )
    assert await pool.fetchval("SELECT status FROM shipments") == "INVENTORY_ASSIGNED"
    assert await pool.fetchval("SELECT count(*) FROM parcels") == 0


async def test_the_error_examples_of_create(caller: Caller, pool: Pool) -> None:
    await contract_order(pool, "5", "sandbox:decline")
    unknown = await caller.call("POST", "/shipments", {"order": 1337, "products": {"43243": 1}})
    assert (unknown.status, unknown.body) == (
        200,
        {"status": "no", "msg": "order does not exist", "order": "1337"},
    )
    declined = await caller.call("POST", "/shipments", {"order": 5, "products": {"43243": 1}})
    assert (declined.status, declined.body) == (
        200,
        {"msg": "can not capture order", "status": "no", "order": "5"},
    )
    assert await pool.fetchval("SELECT count(*) FROM events") == 0


@pytest.mark.parametrize(("method", "slash"), [("PUT", ""), ("POST", "/"), ("PUT", "/?source=wms")])
async def test_a_real_clients_complete(caller: Caller, pool: Pool, method: str, slash: str) -> None:
    await caller.create({"43243": 1}, capture=False)
    body = {
        "shipment": "83651-1",
        "order": "83651",
        "capture": 1,
        "gtg": "1",
        "shipped": 1,
        "carrier": "UPS",
        "service": "",
        "packages": 0,
        "tracking": "1Z999AA10123456784",
        "returnSlipTracking": None,
        "sendEmail": "0",
        "internalComment": "packed by hand",
        "somethingElse": {"deep": []},
    }
    assert await caller.ok(method, "/shipment" + slash, body) == {
        "status": "ok",
        "order": 83651,
        "shipment": "83651-1",
    }
    row = await pool.fetchrow(
        "SELECT status, package_count, return_slip_tracking, internal_comment, carrier, service FROM shipments s"
        " JOIN parcels p ON p.shipment_id = s.id"
    )
    assert row is not None
    assert tuple(row) == ("SHIPPED", None, None, "packed by hand", "UPS", None)


@pytest.mark.parametrize("slash", ["", "/", "/?source=wms"])
async def test_a_real_clients_create(caller: Caller, pool: Pool, slash: str) -> None:
    body = {
        "order": "83651",
        "products": {"43243": "1", "43244": 2},
        "gtg": 1,
        "capture": "0",
        "shipped": False,
        "carrier": "",
        "packages": 0,
        "tracking": "not used",
        "deductPreviousCosts": True,
    }
    answer = await caller.ok("POST", "/shipments" + slash, body)
    assert answer == {"status": "ok", "order": 83651, "shipment": "83651-1"}
    row = await pool.fetchrow("SELECT status, good_to_go, piece_count FROM shipments")
    assert row is not None
    assert tuple(row) == ("RELEASED", True, 3)
    assert await pool.fetchval("SELECT count(*) FROM parcels") == 0


@pytest.mark.parametrize("way", ["API-Authorization", "Bearer", "Basic"])
async def test_every_way_to_present_the_key(caller: Caller, way: str) -> None:
    api = caller.api
    arguments: dict[str, Any] = {
        "API-Authorization": {"headers": {"API-Authorization": api.key.secret}},
        "Bearer": {"headers": {"Authorization": f"Bearer {api.key.secret}"}},
        "Basic": {},
    }[way]
    answer = await api.call("POST", f"{BASE}/shipments", json={"order": 83651, "products": {"43243": 1}}, **arguments)
    assert answer.body["status"] == "ok"


async def test_an_order_number_that_is_no_number_stays_text(caller: Caller, pool: Pool) -> None:
    for number in ("SE-007", "007", "9007199254740992"):
        await contract_order(pool, number)
        assert await caller.ok("POST", "/shipments", {"order": number, "products": {"43243": 1}}) == {
            "status": "ok",
            "order": number,
            "shipment": f"{number}-1",
        }
        assert (await caller.complete(f"{number}-1"))["order"] == number
    await contract_order(pool, "9007199254740991")
    assert (await caller.create({"43243": 1}, order=9007199254740991))["order"] == 9007199254740991


async def test_the_messages_of_update(caller: Caller, pool: Pool) -> None:
    named = {"order": 83651, "shipment": "83651-1"}
    await caller.create({"43243": 1}, capture=False)
    assert await caller.ok("PUT", "/shipments/83651-1", {"gtg": 1, "products": {"43243": "2"}}) == {
        "status": "ok",
        **named,
    }
    await caller.ok("PUT", "/capture", {"shipment": "83651-1"})
    answer = await caller.call("PUT", "/shipments/83651-1/", {"products": {"43243": 1}})
    assert (answer.status, answer.body) == (
        200,
        {"status": "no", "msg": "shipment is captured and can not be updated", **named},
    )
    await caller.complete()
    message = await caller.no("PUT", "/shipments/83651-1", {"gtg": False})
    assert message == "shipment is sent and can not be updated"
    # Nothing was owed for this one, so nothing was captured.
    await insert_order(pool, "7", lines=(Line(unit_price=0),), shipping_amount=0)
    await caller.create({"43243": 1}, order=7)
    message = await caller.no("PUT", "/shipments/7-1", {"products": {"43243": 2}})
    assert message == "shipment is paid and can not be updated"
    assert await caller.no("PUT", "/shipments/83651-9", {"gtg": 1}) == "shipment does not exist"


async def test_the_messages_of_delete(caller: Caller) -> None:
    await caller.create({"43243": 1}, capture=False)
    removed = await caller.call("DELETE", "/shipments/83651-1/")
    assert (removed.status, removed.body) == (
        200,
        {"status": "ok", "msg": "shipment removed", "order": 83651, "shipment": "83651-1"},
    )
    assert await caller.no("DELETE", "/shipments/83651-1") == "shipment does not exist"
    await caller.create({"43243": 1})
    invoiced = "shipment has invoices or creditnotes and could not be deleted."
    assert await caller.no("DELETE", "/shipments/83651-2") == invoiced
    await caller.complete("83651-2")
    assert await caller.no("DELETE", "/shipments/83651-2") == invoiced
    await caller.create({"43243": 2}, capture=False)
    await caller.complete("83651-3", capture=False)
    assert await caller.no("DELETE", "/shipments/83651-3") == "shipment is sent and could not be deleted."
    assert await caller.no("DELETE", "/shipments/%00") == "shipment does not exist"


async def test_the_messages_of_capture(caller: Caller, pool: Pool, sandbox: Sandbox) -> None:
    await caller.create({"43243": 1}, capture=False)
    for _ in range(2):
        captured = await caller.call("PUT", "/capture/", {"shipment": "83651-1"})
        assert captured.body == {"status": "ok", "order": 83651, "shipment": "83651-1"}
    assert len(sandbox.ledger()) == 1
    await caller.create({"43243": 2}, capture=False)
    await refused(pool)
    assert await caller.no("PUT", "/capture", {"shipment": "83651-2"}) == "capture failed"
    await pool.execute("UPDATE orders SET status = 'ONHOLD'")
    assert await caller.no("PUT", "/capture", {"shipment": "83651-2"}) == "order does not allow captures"
    assert await caller.no("PUT", "/capture", {"shipment": "83651-9"}) == "shipment does not exist"
    # What is captured stays captured, whatever has become of the order.
    await caller.ok("PUT", "/capture", {"shipment": "83651-1"})


async def test_a_payment_provider_that_is_not_configured(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1}, capture=False)
    await pool.execute("UPDATE orders SET payment_provider = 'elsewhere'")
    assert await caller.no("PUT", "/capture", {"shipment": "83651-1"}) == UNSUPPORTED
    assert await caller.no("PUT", "/shipment", {"shipment": "83651-1"}) == "capture failed"
    create = {"order": 83651, "products": {"43243": 9}}
    assert await caller.no("POST", "/shipments", create) == "can not capture order"
    # Nothing was reserved, so that who takes the money elsewhere can go on.
    assert await pool.fetchval("SELECT count(*) FROM captures") == 0
    await caller.complete(capture=False)
    await caller.ok("POST", "/shipments", create | {"capture": 0, "shipped": 1})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("status = 'ONHOLD'", "order does not allow shipping: it is ONHOLD"),
        ("status = 'CANCELLED'", "order does not allow shipping: it is CANCELLED"),
        ("waiting_for_payment = true", "order does not allow shipping: it is waiting for payment"),
    ],
)
async def test_an_order_that_is_held(caller: Caller, pool: Pool, columns: str, message: str) -> None:
    await caller.create({"43243": 1}, capture=False)
    await pool.execute(f"UPDATE orders SET {columns}")
    assert await caller.no("POST", "/shipments", {"order": 83651, "products": {"43243": 2}}) == message
    assert await caller.no("PUT", "/shipment", {"shipment": "83651-1"}) == message


@pytest.mark.parametrize(
    ("products", "message"),
    [
        ([], "products must name at least one line"),
        ({}, "products must name at least one line"),
        ({"1": 1}, "line 1 does not exist on the order"),
        ({"43244": 6}, "line 43244 has only 5 left to ship, 6 requested"),
    ],
)
async def test_products_that_the_order_cannot_give(caller: Caller, products: Any, message: str) -> None:
    assert await caller.no("POST", "/shipments", {"order": 83651, "products": products}) == message
    await caller.create({"43243": 1}, capture=False)
    assert await caller.no("PUT", "/shipments/83651-1", {"products": products}) == message


async def test_a_shipment_that_may_not_leave(api: Api, pool: Pool) -> None:
    order, caller = await contract_order(pool), Caller(api)
    for n, status in enumerate(("ONHOLD", "AWAITING_INVENTORY", "CANCELLED", "FAILED_ORDER"), start=1):
        await insert_shipment(pool, order, n=n, status=status, quantities={"43243": 1})
        assert await caller.no("PUT", "/shipment", {"shipment": f"83651-{n}"}) == (
            f"shipment is not in RELEASED status: 83651-{n} is {status}"
        )
    assert await caller.no("PUT", "/shipments/83651-1", {"gtg": 1}) == "shipment is ONHOLD and can not be updated"
    assert await caller.no("PUT", "/shipments/83651-3", {"gtg": 1}) == "shipment does not exist"


async def test_an_order_that_does_not_agree_with_the_shipment(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1}, capture=False)
    for method, path in (("PUT", "/shipment"), ("PUT", "/capture")):
        answer = await caller.call(method, path, {"shipment": "83651-1", "order": 83652})
        assert answer.body == {
            "status": "no",
            "msg": "shipment does not belong to the order",
            "order": 83651,
            "shipment": "83651-1",
        }
    assert await pool.fetchval("SELECT count(*) FROM captures") == 0
    assert (await caller.call("PUT", "/shipment", {"shipment": "nothing"})).body == {
        "status": "no",
        "msg": "shipment does not exist",
        "shipment": "nothing",
    }


# Calls in an order in which each has its own outcome; {} stands for the order's number.
XML_CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/shipments", {"order": "1337", "products": {"43243": 1}}),
    ("POST", "/shipments", {"order": "{}", "products": {"43243": 99}}),
    ("POST", "/shipments", {"order": "{}", "products": {}}),
    ("POST", "/shipments", {"order": "{}"}),
    ("POST", "/shipments", {"order": "{}", "products": {"43243": 1}, "capture": False}),
    ("PUT", "/shipments/{}-1", {"gtg": 1}),
    ("PUT", "/shipments/{}-1", {"gtg": "x"}),
    ("GET", "/shipments?order={}", None),
    ("PUT", "/capture", {"shipment": "{}-1"}),
    ("PUT", "/shipments/{}-1", {"products": {"43243": 2}}),
    ("DELETE", "/shipments/{}-1", None),
    ("PUT", "/shipment", {"shipment": "{}-1", "tracking": "<&]]>\"'", "internalComment": "one\r\ntwo"}),
    ("PUT", "/shipment", {"shipment": "{}-1", "tracking": "other"}),
    ("GET", "/shipments/{}-1?parcels=1", None),
    ("GET", "/orders?order={}", None),
    ("POST", "/shipments", {"order": "{}", "products": {"43243": 2}, "capture": False}),
    ("DELETE", "/shipments/{}-2", None),
    ("DELETE", "/shipments/{}-2", None),
    ("PATCH", "/shipments/{}-2", None),
    ("GET", "/nothing/{}", None),
    ("PUT", "/shipment", b"{"),
]  # fmt: skip


@pytest.mark.parametrize("place", ["body", "query"])
async def test_the_xml_of_every_call_equals_its_json(caller: Caller, pool: Pool, place: str) -> None:
    await contract_order(pool, "83652")
    await pool.execute("UPDATE orders SET created_at = '2026-11-21 12:00:00Z'")
    statuses = []
    for method, path, body in XML_CALLS:
        as_json = await caller.call(method, path.format("83651"), _for_order(body, "83651"))
        xml_path, xml_body = path.format("83652"), _for_order(body, "83652")
        if place == "body" and isinstance(xml_body, dict):
            xml_body["xml"] = "true"
        else:
            xml_path += ("&" if "?" in path else "?") + "xml=1"
        as_xml = await caller.call(method, xml_path, xml_body)
        await pool.execute("UPDATE shipments SET shipped_at = '2026-11-21 18:00:00Z' WHERE shipped_at IS NOT NULL")
        assert as_xml.headers["Content-Type"] == "application/xml; charset=utf-8", path
        assert as_xml.status == as_json.status, path
        assert_same(as_xml.body.replace("83652", "83651"), as_json.body)
        statuses.append((as_json.status, as_json.body["status"]))
    assert [status for status, _ in statuses].count(200) == 16
    assert [said for _, said in statuses].count("ok") == 9


@pytest.mark.parametrize("place", ["body", "query"])
async def test_the_xml_of_who_may_not_call(caller: Caller, pool: Pool, place: str) -> None:
    reader = await create_key(pool, partner="reader", scopes=[Scope.READ_SHIPMENTS])
    body = {"shipment": "83651-1", "xml": 1} if place == "body" else {"shipment": "83651-1"}
    path = "/shipment" + ("" if place == "body" else "?xml=1")
    for secret, status, said in (
        ("guess", 401, {"status": "no", "msg": "the API key is not valid"}),
        (reader.secret, 403, {"status": "Not Allowed"}),
    ):
        as_json = await caller.call("PUT", "/shipment", {}, headers={"API-Authorization": secret})
        assert (as_json.status, as_json.body) == (status, said)
        as_xml = await caller.call("PUT", path, body, headers={"API-Authorization": secret})
        assert (as_xml.status, as_xml.headers["Content-Type"]) == (status, "application/xml; charset=utf-8")
        assert_same(as_xml.body, as_json.body)
        assert as_xml.headers.get("WWW-Authenticate") == as_json.headers.get("WWW-Authenticate")


def _for_order(body: Any, number: str) -> Any:
    if not isinstance(body, dict):
        return body
    return {name: value.format(number) if isinstance(value, str) else value for name, value in body.items()}
