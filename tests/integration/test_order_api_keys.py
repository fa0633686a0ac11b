"""`Idempotency-Key`: one request, one effect, the same bytes; also when the process dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Answer, Api, serve_api
from tests.support.order_api import BASE, Caller, contract_order
from tests.support.sandbox import Sandbox
from tests.support.xml import assert_same

Pool = asyncpg.Pool
CREATE = {"order": 83651, "products": {"43243": 1}, "createAlways": True}
USED = {"status": "no", "msg": "Idempotency-Key: was used with another request"}


@pytest.fixture
async def order(pool: Pool) -> None:
    await contract_order(pool)


@pytest.fixture
def caller(api: Api, order: None) -> Caller:
    return Caller(api)


@pytest.fixture
async def callers(api_settings: Settings, pool: Pool, order: None) -> AsyncIterator[list[Caller]]:
    """Two API processes' worth of everything but the process, for one partner."""
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(serve_api(api_settings, pool)) for _ in range(2)]
        yield [Caller(Api(api.url, apis[0].key, api.session)) for api in apis]


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def replayed(answer: Answer) -> bool:
    return answer.headers.get("Idempotency-Replayed") == "true"


async def raw(caller: Caller, method: str, path: str, body: Any, key: str) -> tuple[bytes, bool]:
    headers = {"API-Authorization": caller.api.key.secret} | keyed(key)
    async with caller.api.session.request(method, caller.api.url + BASE + path, json=body, headers=headers) as response:
        assert response.status == 200
        return await response.read(), response.headers.get("Idempotency-Replayed") == "true"


@pytest.mark.parametrize("xml", [0, 1])
async def test_the_same_request_gets_the_same_bytes(
    api_settings: Settings, pool: Pool, order: None, sandbox: Sandbox, xml: int
) -> None:
    # Links carry the time at which they were signed, so that a second answer would differ.
    settings = api_settings.model_copy(update={"documents_secret": "s" * 32})
    async with serve_api(settings, pool) as api:
        caller = Caller(api)
        calls: list[tuple[str, str, Any]] = [
            ("POST", "/shipments", CREATE | {"xml": xml}),
            ("PUT", "/shipments/83651-1", {"gtg": 1, "xml": xml}),
            ("PUT", "/capture", {"shipment": "83651-1", "xml": xml}),
            ("PUT", "/shipment", {"shipment": "83651-1", "tracking": "T1", "xml": xml}),
        ]
        answers = [await raw(caller, *call, key=call[1]) for call in calls]
        assert all(body.startswith(b"<?xml" if xml else b"{") and not again for body, again in answers)
        # They stand, although the shipment has left by now and could not be changed any more.
        assert [await raw(caller, *call, key=call[1]) for call in calls] == [(body, True) for body, _ in answers]
    assert await pool.fetchval("SELECT count(*) FROM shipments") == 1
    assert len(sandbox.ledger()) == 1


async def test_another_request_under_the_key_is_422(caller: Caller, pool: Pool) -> None:
    assert not replayed(await caller.call("POST", "/shipments", CREATE, headers=keyed("k")))
    for method, path, body in (
        ("POST", "/shipments", CREATE | {"gtg": 1}),
        ("POST", "/shipments?xml=1", CREATE),
        ("PUT", "/shipment", {"shipment": "83651-1"}),
        ("PUT", "/shipments/83651-1", CREATE),
    ):
        answer = await caller.call(method, path, body, headers=keyed("k"))
        assert answer.status == 422
        if "xml" in path:
            assert_same(answer.body, USED)
        else:
            assert answer.body == USED
    assert replayed(await caller.call("POST", "/shipments/", CREATE, headers=keyed(" k ")))
    # A key belongs to whose it is.
    other = await create_key(pool, partner="other", scopes=list(Scope))
    theirs = await caller.call("POST", "/shipments", CREATE, headers=keyed("k") | {"API-Authorization": other.secret})
    assert theirs.body["shipment"] == "83651-2"


@pytest.mark.parametrize("key", ["", "  ", "x" * 256, "å", "a\tb"])
async def test_a_key_that_is_none_is_400(caller: Caller, pool: Pool, key: str) -> None:
    answer = await caller.call("POST", "/shipments", CREATE, headers=keyed(key))
    assert (answer.status, answer.body["msg"]) == (
        400,
        "Idempotency-Key: expected 1 to 255 printable ASCII characters",
    )
    assert await pool.fetchval("SELECT count(*) FROM shipments") == 0


async def test_what_was_not_done_may_be_tried_again(caller: Caller, pool: Pool, sandbox: Sandbox) -> None:
    body = CREATE | {"order": 83652}
    assert (await caller.call("POST", "/shipments", b"{}", headers=keyed("k"))).status == 400
    assert await caller.no("POST", "/shipments", body, headers=keyed("k")) == "order does not exist"
    await contract_order(pool, "83652", "sandbox:decline")
    assert await caller.no("POST", "/shipments", body, headers=keyed("k")) == "can not capture order"
    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:flaky:1'")
    assert (await caller.call("POST", "/shipments", body, headers=keyed("k"))).status == 503
    first = await caller.call("POST", "/shipments", body, headers=keyed("k"))
    assert (first.body["shipment"], replayed(first)) == ("83652-1", False)
    again = await caller.call("POST", "/shipments", body, headers=keyed("k"))
    assert (again.body, replayed(again)) == (first.body, True)
    assert len(sandbox.ledger()) == 1


async def test_the_answer_of_a_lost_capture_is_not_kept(
    api_settings: Settings, pool: Pool, order: None, sandbox: Sandbox
) -> None:
    await pool.execute("UPDATE orders SET payment_authorization = 'sandbox:lost'")
    async with serve_api(api_settings.model_copy(update={"capture_timeout_s": 0.3}), pool) as api:
        caller = Caller(api)
        assert await caller.no("POST", "/shipments", CREATE, headers=keyed("k")) == "can not capture order"
        first = await caller.ok("POST", "/shipments", CREATE, headers=keyed("k"))
        again = await caller.call("POST", "/shipments", CREATE, headers=keyed("k"))
    assert (again.body, replayed(again)) == (first, True)
    assert len(sandbox.ledger()) == 1


@pytest.mark.parametrize("capture", [True, False])
async def test_parallel_calls_under_one_key_make_one_shipment(
    callers: list[Caller], pool: Pool, sandbox: Sandbox, capture: bool
) -> None:
    body = CREATE | {"capture": capture}
    answers = await asyncio.gather(
        *(callers[n % 2].call("POST", "/shipments", body, headers=keyed("k")) for n in range(10))
    )
    assert {answer.body["shipment"] for answer in answers} == {"83651-1"}
    assert len({str(answer.body) for answer in answers}) == 1
    assert await pool.fetchval("SELECT count(*) FROM shipments") == 1
    assert len(sandbox.ledger()) == int(capture)


async def test_parallel_calls_under_many_keys_make_many_shipments(
    callers: list[Caller], pool: Pool, sandbox: Sandbox
) -> None:
    async def twice(n: int) -> str:
        first = await callers[n % 2].ok("POST", "/shipments", CREATE, headers=keyed(f"k{n}"))
        again = await callers[(n + 1) % 2].call("POST", "/shipments", CREATE, headers=keyed(f"k{n}"))
        assert (again.body, replayed(again)) == (first, True)
        return str(first["shipment"])

    assert len(set(await asyncio.gather(*(twice(n) for n in range(8))))) == 8
    assert len(sandbox.ledger()) == 8


@pytest.mark.parametrize("capture", [True, False])
async def test_a_process_that_died_before_it_kept_its_answer(
    caller: Caller, pool: Pool, sandbox: Sandbox, capture: bool
) -> None:
    body = CREATE | {"capture": capture}
    first = await caller.ok("POST", "/shipments", body, headers=keyed("k"))
    assert await pool.execute("UPDATE idempotency_keys SET status = NULL, body = NULL") == "UPDATE 1"
    again = await caller.call("POST", "/shipments", body, headers=keyed("k"))
    assert (again.body, replayed(again)) == (first, False)
    assert await pool.fetchval("SELECT count(*) FROM shipments") == 1
    assert len(sandbox.ledger()) == int(capture)
    assert replayed(await caller.call("POST", "/shipments", body, headers=keyed("k")))
    assert (await caller.ok("POST", "/shipments", body))["shipment"] == "83651-2"


async def test_a_key_is_forgotten_after_a_day(caller: Caller, pool: Pool) -> None:
    for key in ("a", "b", "c"):
        await caller.ok("POST", "/shipments", CREATE, headers=keyed(key))
    await pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '23:59' WHERE key = 'a'")
    await pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '24:01' WHERE key <> 'a'")
    assert replayed(await caller.call("POST", "/shipments", CREATE, headers=keyed("a")))
    other = await caller.call("POST", "/shipments", CREATE | {"gtg": 1}, headers=keyed("b"))
    assert (other.body["shipment"], replayed(other)) == ("83651-4", False)
    # The call cleared away what nobody has asked for again.
    assert [row["key"] for row in await pool.fetch("SELECT key FROM idempotency_keys ORDER BY key")] == ["a", "b"]


async def test_what_is_done_is_told_although_the_answer_cannot_be_kept(caller: Caller, pool: Pool) -> None:
    await pool.execute(
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'admin_shutdown'; END $$"
    )
    await pool.execute(
        "CREATE TRIGGER away BEFORE UPDATE OF body ON idempotency_keys FOR EACH ROW"
        " WHEN (NEW.body IS NOT NULL) EXECUTE FUNCTION away()"
    )
    body = {"order": 83651, "products": {"43243": 1}}
    first = await caller.ok("POST", "/shipments", body, headers=keyed("k"))
    await pool.execute("DROP TRIGGER away ON idempotency_keys")
    assert await caller.ok("POST", "/shipments", body, headers=keyed("k")) == first
