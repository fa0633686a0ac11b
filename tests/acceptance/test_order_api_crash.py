"""`kill -9` of a real API process between the provider's capture and our commit: the retry takes the capture over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Api
from tests.support.order_api import PIECE, SHIPPING, Caller, contract_order
from tests.support.processes import Processes, free_port
from tests.support.rows import insert_shipment
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

Pool = asyncpg.Pool


@dataclass(frozen=True)
class Call:
    """One request about its own order. `made`: whether its shipment is there before."""

    order: str
    authorization: str
    method: str
    path: str
    fields: dict[str, Any]
    made: bool
    status: str
    key: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        about = {"shipment": f"{self.order}-1"} if self.made else {"order": self.order, "products": {"43243": 1}}
        return about | self.fields

    @property
    def success(self) -> dict[str, Any]:
        return {"status": "ok", "order": int(self.order), "shipment": f"{self.order}-1"}

    async def send(self, caller: Caller) -> Any:
        return await caller.call(
            self.method, self.path, self.body, headers={"Idempotency-Key": self.key} if self.key else None
        )


async def replies(caller: Caller, calls: list[Call]) -> list[Any]:
    return [answer.body for answer in await asyncio.gather(*(call.send(caller) for call in calls))]


LOST, SLOW = "sandbox:lost", "sandbox:slow:1500"
CALLS = [
    Call("1", LOST, "POST", "/shipments", {}, made=False, status="INVENTORY_ASSIGNED"),
    Call("2", SLOW, "POST", "/shipments", {"gtg": 1}, made=False, status="RELEASED"),
    Call("3", LOST, "POST", "/shipments", {"createAlways": 1}, made=False, status="INVENTORY_ASSIGNED", key="three"),
    Call("4", SLOW, "POST", "/shipments", {"shipped": 1, "tracking": "T4"}, made=False, status="SHIPPED", key="four"),
    Call("5", LOST, "PUT", "/shipment", {"tracking": "T5"}, made=True, status="SHIPPED"),
    Call("6", SLOW, "PUT", "/shipment", {"tracking": "T6"}, made=True, status="SHIPPED", key="six"),
    Call("7", LOST, "PUT", "/capture", {}, made=True, status="RELEASED"),
]


async def test_a_retry_takes_over_what_a_killed_process_had_captured(
    settings: Settings, pool: Pool, processes: Processes, sandbox: Sandbox
) -> None:
    for call in CALLS:
        order = await contract_order(pool, call.order, call.authorization)
        if call.made:
            await insert_shipment(pool, order, quantities={"43243": 1})
    key = await create_key(pool, partner="acceptance", scopes=list(Scope))
    settings = settings.model_copy(update={"payment_url": sandbox.url})
    ports = [free_port(), free_port()]
    apis = [processes.start("api", "--port", str(port), settings=settings) for port in ports]
    async with aiohttp.ClientSession() as session:
        callers = [Caller(Api(f"http://127.0.0.1:{port}", key, session)) for port in ports]
        for process, caller in zip(apis, callers, strict=True):
            await process.wait_until_ready(f"{caller.api.url}/readyz")

        cut_off = [asyncio.create_task(call.send(callers[0])) for call in CALLS]

        async def all_captured_or_about_to_be() -> bool:
            captured = {entry["idempotency_key"] for entry in sandbox.ledger()}
            return all(
                key in captured or (call.authorization == SLOW and sandbox.running.captures.is_accepted(key))
                for call in CALLS
                for key in [f"shipment:{call.order}-1:capture:1"]
            )

        await until(all_captured_or_about_to_be)
        apis[0].kill()
        results = await asyncio.gather(*cut_off, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results), results
        assert await pool.fetchval("SELECT count(*) FROM events") == 0

        # What the provider has done is taken over at once; what it has not decided yet is asked about until it has.
        lost = [call for call in CALLS if call.authorization == LOST]
        assert await replies(callers[1], lost) == [call.success for call in lost]

        async def all_captured() -> bool:
            return len(sandbox.ledger()) == len(CALLS)

        await until(all_captured)
        for _ in range(2):
            assert await replies(callers[1], CALLS) == [call.success for call in CALLS]

    rows = await pool.fetch("SELECT shipment_number, status FROM shipments ORDER BY shipment_number")
    assert [tuple(row) for row in rows] == [(f"{call.order}-1", call.status) for call in CALLS]
    assert sorted((entry["idempotency_key"], entry["amount"]) for entry in sandbox.ledger()) == [
        (f"shipment:{call.order}-1:capture:1", PIECE + SHIPPING) for call in CALLS
    ]
    assert await pool.fetchval("SELECT count(*) FROM captures WHERE state = 'CAPTURED'") == len(CALLS)
    told = await pool.fetch("SELECT subject, type FROM events ORDER BY subject, sequence")
    created, released, shipped = (f"order-shipment-{what}" for what in ("created", "released", "shipped"))
    assert [tuple(row) for row in told] == [
        ("1-1", created),
        *(("2-1", kind) for kind in (created, released)),
        ("3-1", created),
        *(("4-1", kind) for kind in (created, released, shipped)),
        ("5-1", shipped),
        ("6-1", shipped),
    ]
