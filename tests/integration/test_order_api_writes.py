"""The Order API at work: money and pieces once, however often a call is made; and one world with the other API."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Api, serve_api
from tests.support.order_api import BASE, PIECE, SHIPPING, Caller, contract_order
from tests.support.rows import insert_shipment
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool
SENT = "shipment is sent and can not be updated"
TOLD: dict[str, Any] = {
    "carrier": "UPS",
    "service": "Express",
    "packages": "2",
    "tracking": "1Z1",
    "returnSlipTracking": "R1",
    "internalComment": "left at noon",
    "sendEmail": True,
}


@pytest.fixture
async def order(pool: Pool) -> None:
    await contract_order(pool)


@pytest.fixture
def caller(api: Api, order: None) -> Caller:
    return Caller(api)


@pytest.fixture
async def callers(api_settings: Settings, pool: Pool, order: None) -> AsyncIterator[list[Caller]]:
    """Two API processes' worth of everything but the process."""
    async with AsyncExitStack() as stack:
        yield [Caller(await stack.enter_async_context(serve_api(api_settings, pool))) for _ in range(2)]


async def events(pool: Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT type, subject FROM events ORDER BY seq")
    return [(row["type"].removeprefix("order-shipment-"), row["subject"]) for row in rows]


async def shipped_event(pool: Pool, number: str) -> Any:
    body = await pool.fetchval("SELECT body FROM events WHERE type = 'order-shipment-shipped' AND subject = $1", number)
    return json.loads(body)["data"]


async def authorize(pool: Pool, authorization: str) -> None:
    await pool.execute("UPDATE orders SET payment_authorization = $1", authorization)


async def test_parallel_creates_give_each_piece_once(callers: list[Caller], pool: Pool, sandbox: Sandbox) -> None:
    body = {"order": 83651, "products": {"43243": 1}, "createAlways": 1}
    answers = await asyncio.gather(*(callers[n % 2].call("POST", "/shipments", body) for n in range(20)))
    made = [answer.body for answer in answers if answer.body["status"] == "ok"]
    assert sorted(int(each["shipment"].removeprefix("83651-")) for each in made) == list(range(1, 11))
    assert Counter(answer.body["msg"] for answer in answers if answer.body["status"] == "no") == {
        "line 43243 has only 0 left to ship, 1 requested": 10
    }
    assert [entry["amount"] for entry in sandbox.ledger()] == [PIECE + SHIPPING] + [PIECE] * 9
    assert await events(pool) == [("created", each["shipment"]) for each in sorted(made, key=_number)]


def _number(body: Any) -> int:
    return int(body["shipment"].rpartition("-")[2])


async def test_a_lost_answer_captures_once(api_settings: Settings, pool: Pool, order: None, sandbox: Sandbox) -> None:
    await authorize(pool, "sandbox:lost")
    async with serve_api(api_settings.model_copy(update={"capture_timeout_s": 0.5}), pool) as api:
        caller = Caller(api)
        create = {"order": 83651, "products": {"43243": 1}}
        assert await caller.no("POST", "/shipments", create) == "can not capture order"
        assert await events(pool) == []
        assert await caller.ok("POST", "/shipments", create)
        await caller.create({"43243": 2}, capture=False)
        assert await caller.no("PUT", "/shipment", {"shipment": "83651-2"}) == "capture failed"
        # Nobody knows whether money moved, so it is neither cheap to change nor to remove.
        assert await caller.no("PUT", "/shipments/83651-2", {"products": {"43243": 1}}) == (
            "shipment is captured and can not be updated"
        )
        await caller.complete("83651-2")
        await caller.create({"43243": 3}, capture=False)
        assert await caller.no("PUT", "/capture", {"shipment": "83651-3"}) == "capture failed"
        await caller.ok("PUT", "/capture", {"shipment": "83651-3"})
    assert [entry["amount"] for entry in sandbox.ledger()] == [PIECE + SHIPPING, 2 * PIECE, 3 * PIECE]


async def test_a_provider_that_is_away_is_503_and_a_repetition_goes_on(
    caller: Caller, pool: Pool, sandbox: Sandbox
) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/shipments", {"order": 83651, "products": {"43243": 1}}),
        ("PUT", "/capture", {"shipment": "83651-1"}),
        ("PUT", "/shipment", {"shipment": "83651-2"}),
    ]
    await caller.create({"43244": 1}, capture=False)
    await caller.create({"43244": 2}, capture=False)
    for method, path, body in calls:
        await authorize(pool, f"sandbox:flaky:1#{path}")
        answer = await caller.call(method, path, body)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (answer.body["status"], answer.body["msg"]) == (
            "no",
            "temporarily unavailable, repeat the request later",
        )
        await caller.ok(method, path, body)
    assert len(sandbox.ledger()) == 3


async def test_a_repeated_completion_is_ok_and_does_nothing(caller: Caller, pool: Pool, sandbox: Sandbox) -> None:
    await caller.create({"43243": 1}, capture=False)
    first = await caller.complete(**TOLD)
    for again in ({}, TOLD, TOLD | {"sendEmail": None}, {"trackingNumber": "1Z1", "packages": 2}, {"capture": 0}):
        assert await caller.complete(**again) == first
    for other in (
        {"carrier": "Fedex"},
        {"packages": 3},
        {"tracking": "1Z2"},
        {"returnSlipTracking": "R2"},
        {"internalComment": "noon"},
        {"sendEmail": 0},
        {"parcels": [{"tracking": "1Z1"}, {"tracking": "1Z2"}]},
    ):
        assert await caller.no("PUT", "/shipment", {"shipment": "83651-1"} | TOLD | other) == SENT
    assert await events(pool) == [("created", "83651-1"), ("released", "83651-1"), ("shipped", "83651-1")]
    assert len(sandbox.ledger()) == 1
    assert await pool.fetchval("SELECT internal_comment FROM shipments") == "left at noon"


async def test_a_repetition_that_wants_the_money_is_told_that_it_was_not_taken(caller: Caller) -> None:
    await caller.create({"43243": 1}, capture=False)
    await caller.complete(capture="0")
    await caller.complete(capture="0")
    for wanting in ({}, {"capture": 1}):
        assert await caller.no("PUT", "/shipment", {"shipment": "83651-1"} | wanting) == SENT
    await caller.ok("PUT", "/capture", {"shipment": "83651-1"})
    await caller.complete(capture=1)


async def test_an_order_sent_in_without_capture_is_completed_without(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    order = await contract_order(pool)
    for n in (1, 2):
        await insert_shipment(pool, order, n=n, quantities={"43243": 1}, capture_wanted=False)
    caller = Caller(api)
    await caller.complete("83651-1")
    await caller.complete("83651-1")
    assert sandbox.ledger() == []
    await caller.complete("83651-2", capture=1)
    assert len(sandbox.ledger()) == 1


async def test_parallel_completions_are_all_ok_or_say_which_content_came_first(
    callers: list[Caller], pool: Pool, sandbox: Sandbox
) -> None:
    await authorize(pool, "sandbox:slow:100")
    await callers[0].create({"43243": 1}, capture=False)
    bodies = [{"shipment": "83651-1", "tracking": f"T{n % 2}"} for n in range(12)]
    answers = await asyncio.gather(*(callers[n // 6].call("PUT", "/shipment", body) for n, body in enumerate(bodies)))
    kept = await pool.fetchval("SELECT tracking_number FROM parcels")
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.body == (
            {"status": "ok", "order": 83651, "shipment": "83651-1"}
            if body["tracking"] == kept
            else {"status": "no", "msg": SENT, "order": 83651, "shipment": "83651-1"}
        )
    assert len(sandbox.ledger()) == 1
    assert Counter(kind for kind, _ in await events(pool)) == {"created": 1, "released": 1, "shipped": 1}


async def test_the_comment_is_appended(api: Api, pool: Pool) -> None:
    await insert_shipment(pool, await contract_order(pool), internal_comment="from the intake")
    await Caller(api).complete(internalComment=" one\r\ntwo ")
    await Caller(api).complete(internalComment="one\ntwo")
    assert await pool.fetchval("SELECT internal_comment FROM shipments") == "from the intake\none\ntwo"


async def test_several_parcels_and_their_addresses(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1})
    body = {
        "carrier": "UPS",
        "service": "Express",
        "trackingUrl": "https://track.example/1",
        "parcels": [
            {"tracking": "A 1"},
            {"trackingNumber": "B/2"},
            {"carrier": "PostNord", "service": "Home", "tracking": "C3"},
            {"carrier": "Unheard of", "tracking": "D4", "trackingUrl": "http://track.example/4"},
            {"carrier": "Unheard of", "tracking": "E5"},
        ],
    }
    await caller.complete(**body)
    await caller.complete(**body)
    told = await shipped_event(pool, "83651-1")
    assert [tuple(parcel.values()) for parcel in told["parcels"]] == [
        ("UPS", "Express", "A 1", "https://track.example/1"),
        ("UPS", "Express", "B/2", "https://www.ups.com/track?tracknum=B%2F2"),
        ("PostNord", "Home", "C3", "https://tracking.postnord.com/en/tracking?id=C3"),
        ("Unheard of", "Express", "D4", "http://track.example/4"),
        ("Unheard of", "Express", "E5", None),
    ]
    assert (told["carrierTrackingNumber"], told["trackingUrl"]) == ("A 1", "https://track.example/1")
    for clash, message in (
        ({"tracking": "X"}, "tracking: differs from that of parcels[0]"),
        ({"parcels": [{"trackingUrl": "http://other.example"}]}, "trackingUrl: differs from that of parcels[0]"),
    ):
        answer = await caller.call("PUT", "/shipment", {"shipment": "83651-1"} | body | clash)
        assert (answer.status, answer.body["msg"]) == (400, message)


async def test_what_depends_on_shipped_counts_only_then(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1}, **TOLD)
    row = await pool.fetchrow("SELECT status, package_count, return_slip_tracking, internal_comment FROM shipments")
    assert row is not None
    assert tuple(row) == ("INVENTORY_ASSIGNED", None, None, "")
    assert await pool.fetchval("SELECT count(*) FROM parcels") == 0
    await caller.create({"43243": 2}, shipped="1", **TOLD)
    row = await pool.fetchrow(
        "SELECT status, package_count, return_slip_tracking, carrier, service, tracking_number"
        " FROM shipments s JOIN parcels p ON p.shipment_id = s.id"
    )
    assert row is not None
    assert tuple(row) == ("SHIPPED", 2, "R1", "UPS", "Express", "1Z1")
    assert (await events(pool))[1:] == [("created", "83651-2"), ("released", "83651-2"), ("shipped", "83651-2")]


async def test_the_stores_setting_decides_about_the_mail_unless_the_call_does(caller: Caller, pool: Pool) -> None:
    await pool.execute("UPDATE stores SET send_shipping_confirmation = false")
    told: list[bool] = []
    for number, fields in enumerate(({}, {"sendEmail": 1}, {"sendEmail": "0"}), start=1):
        await caller.create({"43243": number}, capture=False)
        await caller.complete(f"83651-{number}", **fields)
        told.append((await shipped_event(pool, f"83651-{number}"))["notifyCustomer"])
    await caller.create({"43244": 1}, shipped=1)
    await caller.create({"43244": 2}, shipped=1, sendEmail=True)
    told += [(await shipped_event(pool, f"83651-{number}"))["notifyCustomer"] for number in (4, 5)]
    await caller.create({"43244": 1, "43243": 1}, gtg=1)
    assert (await caller.api.complete("83651-6")).status == 200
    told.append((await shipped_event(pool, "83651-6"))["notifyCustomer"])
    await pool.execute("UPDATE stores SET send_shipping_confirmation = true")
    await caller.create({"43244": 1}, shipped=1)
    told.append((await shipped_event(pool, "83651-7"))["notifyCustomer"])
    assert told == [False, True, False, False, True, True, True]


async def test_both_apis_complete_each_others_shipments(caller: Caller, pool: Pool, sandbox: Sandbox) -> None:
    await caller.create({"43243": 1})
    # The Shipment Completion API takes only what was released.
    assert (await caller.api.complete("83651-1", "T1")).status == 400
    await caller.ok("PUT", "/shipments/83651-1", {"gtg": True})
    assert (await caller.api.complete("83651-1", "T1")).status == 200
    await caller.complete("83651-1", tracking="T1")
    assert await caller.no("PUT", "/shipment", {"shipment": "83651-1", "tracking": "T2"}) == SENT
    await insert_shipment(pool, await contract_order(pool, "100001"), quantities={"43243": 1})
    await caller.complete("100001-1", tracking="T1")
    assert (await caller.api.complete("100001-1", "T1")).status == 409
    assert len(sandbox.ledger()) == 2


async def test_the_identical_create_returns_the_same_shipment_captured_if_that_is_wanted(
    caller: Caller, pool: Pool, sandbox: Sandbox
) -> None:
    first = await caller.create({"43243": 1, "43244": 2}, capture=False)
    assert await caller.create({"43244": "2", "43243": "1"}, capture=False) == first
    assert sandbox.ledger() == []
    await authorize(pool, "sandbox:decline")
    body = {"order": 83651, "products": {"43243": 1, "43244": 2}}
    assert await caller.no("POST", "/shipments", body) == "can not capture order"
    await authorize(pool, "sandbox:ok")
    assert await caller.create({"43243": 1, "43244": 2}) == first
    assert await caller.create({"43243": 1, "43244": 2}) == first
    assert len(sandbox.ledger()) == 1
    assert (await caller.create({"43243": 1, "43244": 2}, createAlways="1"))["shipment"] == "83651-2"
    assert len(sandbox.ledger()) == 2


async def test_every_change_is_told(caller: Caller, pool: Pool) -> None:
    await caller.create({"43243": 1}, capture=False)
    await caller.ok("PUT", "/shipments/83651-1", {"gtg": 1})
    await caller.ok("PUT", "/shipments/83651-1", {"gtg": 1, "products": {"43243": 4}})
    await caller.ok("PUT", "/shipments/83651-1", {})
    await caller.ok("DELETE", "/shipments/83651-1")
    await caller.create({"43243": 10}, gtg=1, capture=False)
    await caller.complete("83651-2")
    assert await events(pool) == [
        ("created", "83651-1"),
        ("released", "83651-1"),
        ("cancelled", "83651-1"),
        ("created", "83651-2"),
        ("released", "83651-2"),
        ("shipped", "83651-2"),
    ]


async def test_the_log_names_the_order_the_shipment_and_the_outcome(caller: Caller) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await caller.create({"43243": 1}, capture=False)
        await caller.create({"43243": 1}, capture=False)
        await caller.ok("PUT", "/shipments/83651-1", {"gtg": 1})
        await caller.ok("PUT", "/capture", {"shipment": "83651-1"})
        await caller.no("DELETE", "/shipments/83651-1")
        await caller.complete(tracking="T1")
        await caller.complete(tracking="T1")
        await caller.no("PUT", "/shipment", {"shipment": "83651-1", "tracking": "T2"})
    lines = [line for line in logs if line["event"] == "request_finished"]
    assert {(line["order_number"], line["shipment_number"], line["partner"]) for line in lines} == {
        ("83651", "83651-1", "tests")
    }
    assert [(line["outcome"], line.get("reason")) for line in lines] == [
        ("created", None),
        ("repeated", None),
        ("changed", None),
        ("captured", None),
        ("refused", "shipment has invoices or creditnotes and could not be deleted."),
        ("shipped", None),
        ("repeated", None),
        ("refused", SENT),
    ]


async def test_what_is_wrong_with_the_request_has_a_status_of_its_own(caller: Caller, pool: Pool) -> None:
    reader = await create_key(pool, partner="reader", scopes=sorted(set(Scope) - {Scope.WRITE_SHIPMENTS}))
    other = {"API-Authorization": reader.secret}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    cases: list[tuple[tuple[Any, ...], dict[str, Any], int, dict[str, str]]] = [
        (("PUT", "/shipment", {}), {}, 400, {"msg": "shipment: Field required"}),
        (("PUT", "/shipment", []), {}, 400, {"msg": "the body is not a JSON object"}),
        (("POST", "/shipments", {"order": 1}), {}, 400, {"msg": "products: Field required"}),
        (("PUT", "/shipments/83651-1", {"gtg": 5}), {}, 400, {"msg": "gtg: expected true or false"}),
        (("PUT", "/capture", b"x"), {}, 400, {"msg": "the body is not valid JSON: expected value at line 1 column 1"}),
        (("PUT", "/shipment", b"a=1"), {"headers": form}, 415, {"msg": "Content-Type must be application/json"}),
        (("PUT", "/shipment", b'{"a":"' + b"x" * 70_000 + b'"}'), {}, 413, {"msg": "the body is larger than 64 KiB"}),
        (("DELETE", "/shipment"), {}, 405, {"msg": "method is not allowed"}),
        (("POST", "/capture", {}), {}, 405, {"msg": "method is not allowed"}),
        (("PUT", "/nothing", {}), {}, 404, {"msg": "path does not exist"}),
        (("PUT", "/shipment", {}), {"headers": {"API-Authorization": ""}}, 401, {"msg": "an API key is required"}),
        (("PUT", "/shipment", {}), {"headers": {"API-Authorization": "x"}}, 401, {"msg": "the API key is not valid"}),
        *(((method, path, {}), {"headers": other}, 403, {"status": "Not Allowed"})
          for method, path in (("PUT", "/shipment"), ("POST", "/shipment/"), ("POST", "/shipments"),
                               ("PUT", "/shipments/83651-1"), ("DELETE", "/shipments/83651-1"), ("PUT", "/capture"))),
    ]  # fmt: skip
    for arguments, more, status, body in cases:
        answer = await caller.call(*arguments, **more)
        assert (answer.status, answer.body) == (status, {"status": "no"} | body), arguments[:2]
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert (await caller.call("PUT", "/shipment/", headers=other)).status == 403
    allowed = (await caller.call("PATCH", "/shipments/83651-1")).headers["Allow"]
    assert {"PUT", "DELETE"} <= set(allowed.split(","))


async def test_the_limits_and_failures_of_the_service(api_settings: Settings, pool: Pool, order: None) -> None:
    limited = api_settings.model_copy(update={"rate_limit": "2/minute", "order_api_prefix": "/v1"})
    async with serve_api(limited, pool) as api:
        headers = {"API-Authorization": api.key.secret}
        await pool.execute("ALTER TABLE captures RENAME TO elsewhere")
        body = {"shipment": "83651-1"}
        bug = await api.call("PUT", "/v1/shipment", json=body, headers=headers)
        assert (bug.status, bug.body) == (500, {"status": "no", "msg": "internal error"})
        await pool.execute("ALTER TABLE elsewhere RENAME TO captures")
        assert (await api.call("PUT", "/v1/shipment/", json=body, headers=headers)).status == 200
        limit = await api.call("PUT", "/v1/shipment", json=body, headers=headers)
        assert (limit.status, limit.body) == (429, {"status": "no", "msg": "too many requests"})
        assert 1 <= int(limit.headers["Retry-After"]) <= 60
        # Below the usual prefix there is nothing now, and the answer is that of the service at large.
        elsewhere = await api.call("PUT", f"{BASE}/shipment", json=body, headers=headers)
        assert (elsewhere.status, set(elsewhere.body)) == (404, {"error"})


async def test_a_shipment_that_somebody_holds_too_long_is_503(api_settings: Settings, pool: Pool, order: None) -> None:
    async with serve_api(api_settings.model_copy(update={"lock_timeout_s": 0.3}), pool) as api:
        caller = Caller(api)
        await caller.create({"43243": 1})
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM orders FOR UPDATE")
            answer = await caller.call("PUT", "/shipment", {"shipment": "83651-1"})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        await caller.complete()


async def test_a_slow_payment_keeps_nobody_waiting_who_needs_none(
    api_settings: Settings, pool: Pool, order: None, sandbox: Sandbox
) -> None:
    few = {"database_pool_size": 1, "payment_pool_size": 1, "database_acquire_timeout_s": 0.5}
    await contract_order(pool, "83652", authorization="sandbox:slow:4000")
    async with serve_api(api_settings.model_copy(update=few), pool) as api, asyncio.TaskGroup() as group:
        caller = Caller(api)
        await caller.create({"43243": 1})
        for line in ("43243", "43244"):
            await caller.create({line: 1}, order=83652, capture=False)
        slow = group.create_task(caller.complete("83652-1"))
        await sandbox.accepted("shipment:83652-1:capture:1")
        # Another payment, and whoever would wait for the lock of this one, find no connection.
        for method, path, body in (
            ("POST", "/shipments", {"order": 83651, "products": {"43244": 1}}),
            ("PUT", "/shipments/83652-2", {"gtg": True}),
        ):
            answer = await caller.call(method, path, body)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), path
        # Paid already, or nothing to pay, or nothing to be found: these do not need one.
        await caller.complete("83651-1")
        await caller.create({"43243": 2}, capture=False)
        await caller.ok("PUT", "/shipments/83651-2", {"gtg": True})
        await caller.ok("DELETE", "/shipments/83651-2")
        assert await caller.no("PUT", "/shipment", {"shipment": "83651-9"}) == "shipment does not exist"
    assert slow.result()["status"] == "ok"
