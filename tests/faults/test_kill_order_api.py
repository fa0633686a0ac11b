"""`kill -9` at every named step of the Order API's writing calls, each followed by the caller's retries."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.faults.conftest import OpenStack
from tests.faults.killing import (
    calling,
    died,
    failing_api,
    finished,
    handle_all,
    judge,
    order_caller,
    pay_otherwise,
    standing,
    steps_of,
    taken,
    told,
)
from tests.faults.report import repetitions
from tests.faults.stack import Stack
from tests.support.api import Answer
from tests.support.order_api import Caller, contract_order
from tests.support.rows import insert_shipment

pytestmark = pytest.mark.timeout(repetitions(240, 2400))

CREATED, RELEASED, SHIPPED = ("order-shipment-created", "order-shipment-released", "order-shipment-shipped")


@dataclass(frozen=True)
class Request:
    """A call about an order of its own. `made` is the shipment's status before, None where the call makes it.

    `events` are all that are ever told of the shipment, once it has left. `keyed`: under a key of the caller's; a
    creation then asks for a further shipment each time, so that nothing but the key tells a repeat.
    """

    method: str
    path: str
    fields: dict[str, Any] = field(default_factory=dict)
    made: str | None = None
    authorization: str = "sandbox:ok"
    events: tuple[str, ...] = (CREATED, RELEASED, SHIPPED)
    keyed: bool = False

    async def send(self, caller: Caller, order: str) -> Answer:
        about = {"shipment": f"{order}-1"} if self.made else {"order": order, "products": {"43243": 1}}
        headers = {"Idempotency-Key": f"key of {order}"} if self.keyed else None
        if self.keyed and not self.made:
            about["createAlways"] = 1
        body = None if self.method == "DELETE" else self.fields if "{" in self.path else about | self.fields
        return await caller.call(self.method, self.path.format(f"{order}-1"), body, headers=headers)


LEFT = {"shipped": 1, "tracking": "T-1"}
REQUESTS = {
    "create": Request("POST", "/shipments", LEFT),
    "create-declined": Request("POST", "/shipments", LEFT, authorization="sandbox:decline"),
    "create-unpaid": Request("POST", "/shipments", {"capture": 0}),
    "put": Request("PUT", "/shipment", {"tracking": "T-1"}, made="INVENTORY_ASSIGNED", events=(RELEASED, SHIPPED)),
    "capture": Request("PUT", "/capture", made="RELEASED", events=(SHIPPED,)),
    "release": Request("PUT", "/shipments/{}", {"gtg": 1}, made="INVENTORY_ASSIGNED", events=(RELEASED, SHIPPED)),
}
# Right after the kill: how often the money has moved, or either of two.
MONEY = {
    "create.asked": {0, 1},
    **{step: {0} for step in ("create.numbered", "create.uncommitted", "create.begun", "put.reserved")},
}
UNPAID = ("create-declined", "create-unpaid", "release")
ANSWERED = ("create.done",)
KEYS = ("create.unkept", "create.kept", "put.kept")


@pytest.mark.parametrize("callers", [1, 2])
@pytest.mark.parametrize("scenario", REQUESTS)
async def test_a_call(open_forks: OpenStack, scenario: str, callers: int) -> None:
    shipments: dict[str, list[str]] = defaultdict(list)
    request = REQUESTS[scenario]
    async with open_forks(relays=0, workers=0) as stack:
        healthy = await order_caller(stack)
        for n, step in enumerate(steps_of(scenario) * repetitions(1, 10)):
            order = str(400001 + n)
            number = f"{order}-1"
            shipments[step].append(number)
            # A caller with a key and one without, by turns.
            sent = with_key(request, keyed=step in KEYS or bool((n + callers) % 2))
            await prepare(stack, order, sent)

            process, url = await failing_api(stack, step, callers=callers)
            answer = await finished(sent.send(calling(healthy, url), order))
            await died(process, step)
            assert (answer is not None) == (step in ANSWERED), step
            assert await taken(stack, number) in MONEY.get(step, {0} if scenario in UNPAID else {1}), step
            assert not await half_made(stack, number), step

            answers = await asyncio.gather(*(sent.send(healthy, order) for _ in range(callers)))
            if scenario == "create-declined":
                assert {(each.status, each.body["status"]) for each in answers} == {(200, "no")}, (step, answers)
                await pay_otherwise(stack, number)
                answers = await asyncio.gather(*(sent.send(healthy, order) for _ in range(callers)))
            assert {(each.status, each.body["status"]) for each in answers} == {(200, "ok")}, (step, answers)
            assert {each.body["shipment"] for each in answers} == {number}, step
            await ship(healthy, number)
            assert await told_of(stack, number) == request.events, step
            status, states, money = await standing(stack, number)
            assert (status, [state for state in states if state != "DECLINED"], money) == (
                "SHIPPED",
                ["CAPTURED"],
                1,
            ), step
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=told(callers))


@pytest.mark.parametrize("callers", [1, 2])
async def test_a_removal(open_forks: OpenStack, callers: int) -> None:
    shipments: dict[str, list[str]] = defaultdict(list)
    removed: set[str] = set()
    removal = Request("DELETE", "/shipments/{}", made="RELEASED")
    async with open_forks(relays=0, workers=0) as stack:
        healthy = await order_caller(stack)
        for n, step in enumerate(steps_of("cancel") * repetitions(1, 10)):
            order = str(500001 + n)
            removed.add(f"{order}-1")
            await prepare(stack, order, removal)
            process, url = await failing_api(stack, step, callers=callers)
            assert await finished(removal.send(calling(healthy, url), order)) is None
            await died(process, step)
            done = step == "cancel.committed"
            assert (await standing(stack, f"{order}-1"))[0] == ("CANCELLED" if done else "RELEASED")
            answers = await asyncio.gather(*(removal.send(healthy, order) for _ in range(callers)))
            # Only one of them has removed it; the others are told that there is no such shipment.
            assert [each.body["status"] for each in answers].count("ok") == (0 if done else 1)
            assert await standing(stack, f"{order}-1") == ("CANCELLED", [], 0)
            assert await told_of(stack, f"{order}-1") == ("order-shipment-cancelled",)
            # All its pieces are there for another one.
            again = await healthy.create({"43243": 10}, order=int(order), **LEFT)
            assert again["shipment"] == f"{order}-2"
            shipments[step].append(again["shipment"])
        await handle_all(stack)
        ledgers = await stack.ledgers()
    judge(ledgers, shipments, retried=told(callers), removed=removed)


def with_key(request: Request, *, keyed: bool) -> Request:
    return Request(**{**vars(request), "keyed": keyed})


async def prepare(stack: Stack, order: str, request: Request) -> None:
    """Insert the order of a request, and its shipment where that is there before."""
    row = await contract_order(stack.pool, order, request.authorization)
    if request.made:
        pieces = {"43243": 10 if request.method == "DELETE" else 1}
        await insert_shipment(stack.pool, row, quantities=pieces, status=request.made)


async def ship(caller: Caller, number: str) -> None:
    """Complete the shipment unless it has left already, in which case this is what was told before."""
    answer = await caller.call("PUT", "/shipment", {"shipment": number, "tracking": "T-1"})
    assert (answer.status, answer.body["status"]) == (200, "ok"), answer


async def told_of(stack: Stack, number: str) -> tuple[str, ...]:
    """Return the types of the shipment's events in their order."""
    rows = await stack.pool.fetch("SELECT type FROM events WHERE subject = $1 ORDER BY sequence", number)
    return tuple(row["type"] for row in rows)


async def half_made(stack: Stack, number: str) -> bool:
    """Tell whether something was told of a shipment that nobody is to hear of."""
    return await stack.pool.fetchval(
        "SELECT EXISTS (SELECT FROM shipments s JOIN events e ON e.shipment_id = s.id"
        " WHERE s.shipment_number = $1 AND s.status = 'PROVISIONAL')",
        number,
    )
