"""Creating, changing, capturing and removing shipments: pieces and money agree, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
import pytest

from service.payments.provider import PaymentProvider
from service.payments.registry import open_providers
from service.settings import Settings
from service.shipping import create_shipment as create_shipment_module
from service.shipping.capture import reserve_capture
from service.shipping.capture_shipment import capture_shipment
from service.shipping.change_shipment import cancel_shipment, change_shipment
from service.shipping.complete_shipment import complete_shipment
from service.shipping.create_shipment import create_shipment
from service.shipping.creation import Created, Creation, begin
from service.shipping.departure import Departure, Parcel
from service.shipping.errors import (
    CaptureDeclined,
    CaptureOutcomeUnknown,
    OrderNotFound,
    SelectionRefused,
    ShipmentAlreadyShipped,
    ShipmentIsPaid,
    ShipmentNotFound,
    ShipmentNotReleased,
    WaybillError,
)
from service.shipping.shipment import IMPLYING_RELEASE
from sql import queries
from tests.support.locks import until_somebody_waits
from tests.support.rows import TRACEPARENT, Line, insert_order
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool
TOLD = {"request_id": "r", "traceparent": TRACEPARENT}
LEFT = Departure(parcels=(Parcel(carrier="UPS", tracking_number="1Z 9"),))


@pytest.fixture
async def providers(api_settings: Settings) -> AsyncIterator[Mapping[str, PaymentProvider]]:
    async with open_providers(api_settings) as opened:
        yield opened


class Domain:
    """The use cases with a connection of the pool for each call."""

    def __init__(self, pool: Pool, providers: Mapping[str, PaymentProvider]) -> None:
        self.pool, self.providers, self.timeout_s = pool, providers, 5.0

    async def create(self, selection: Mapping[str, int], number: str = "100001", **fields: Any) -> Created:
        async with self.pool.acquire() as connection:
            return await create_shipment(
                connection,
                Creation(number, selection, **fields),
                providers=self.providers,
                capture_timeout_s=self.timeout_s,
                **TOLD,
            )

    async def complete(self, number: str, **arguments: Any) -> None:
        async with self.pool.acquire() as connection:
            await complete_shipment(
                connection,
                shipment_number=number,
                departure=LEFT,
                shippable=IMPLYING_RELEASE,
                providers=self.providers,
                capture_timeout_s=self.timeout_s,
                **TOLD,
                **arguments,
            )

    async def change(self, number: str, **arguments: Any) -> str:
        async with self.pool.acquire() as connection:
            return await change_shipment(connection, number, **TOLD, **arguments)

    async def cancel(self, number: str) -> str:
        async with self.pool.acquire() as connection:
            return await cancel_shipment(connection, number, **TOLD)

    async def capture(self, number: str) -> str:
        async with self.pool.acquire() as connection:
            return await capture_shipment(
                connection, number, providers=self.providers, capture_timeout_s=self.timeout_s
            )

    async def events(self) -> list[tuple[str, str, int]]:
        rows = await self.pool.fetch("SELECT type, subject, sequence FROM events ORDER BY seq")
        return [(row["type"].removeprefix("order-shipment-"), row["subject"], row["sequence"]) for row in rows]

    async def shipments(self) -> list[tuple[Any, ...]]:
        rows = await self.pool.fetch("SELECT shipment_number, status, piece_count FROM shipments ORDER BY id")
        return [tuple(row) for row in rows]

    async def allocated(self) -> int:
        return await self.pool.fetchval("SELECT sum(allocated_quantity) FROM order_lines")


@pytest.fixture
async def domain(pool: Pool, providers: Mapping[str, PaymentProvider]) -> Domain:
    await insert_order(
        pool,
        lines=(Line("43243", quantity=10), Line("43244", sku="B", quantity=2, unit_price=500)),
        shipping_amount=4900,
    )
    return Domain(pool, providers)


async def test_created_paid_and_held_back(domain: Domain, sandbox: Sandbox) -> None:
    assert await domain.create({"43243": 1, "43244": 2}) == Created("100001-1", "100001", repeated=False)
    assert await domain.shipments() == [("100001-1", "INVENTORY_ASSIGNED", 3)]
    assert [entry["amount"] for entry in sandbox.ledger()] == [19900 + 1000 + 4900]
    assert await domain.events() == [("created", "100001-1", 1)]


async def test_created_and_shipped_at_once(domain: Domain, sandbox: Sandbox) -> None:
    await domain.create({"43243": 10}, departure=LEFT)
    await domain.create({"43244": 2}, departure=Departure())
    assert [row[1] for row in await domain.shipments()] == ["SHIPPED", "SHIPPED"]
    assert [row[0] for row in await domain.events()] == ["created", "released", "shipped"] * 2
    assert await domain.pool.fetchval("SELECT status FROM orders") == "COMPLETED"
    assert sum(entry["amount"] for entry in sandbox.ledger()) == 199000 + 1000 + 4900
    body = json.loads(
        await domain.pool.fetchval("SELECT body FROM events WHERE type LIKE '%shipped' ORDER BY seq LIMIT 1")
    )
    assert body["data"]["trackingUrl"] == "https://www.ups.com/track?tracknum=1Z%209"


async def test_the_identical_request_returns_the_same_shipment(domain: Domain, sandbox: Sandbox) -> None:
    first = await domain.create({"43243": 1, "43244": 2})
    again = await domain.create({"43244": 2, "43243": 1})
    assert again == Created(first.shipment_number, "100001", repeated=True)
    assert len(sandbox.ledger()) == 1
    assert (await domain.create({"43243": 1})).shipment_number == "100001-2"
    assert (await domain.create({"43243": 1}, create_always=True)).shipment_number == "100001-3"
    shipped = await domain.create({"43243": 1}, departure=LEFT)
    assert await domain.create({"43243": 1}, departure=LEFT) == Created(
        shipped.shipment_number, "100001", repeated=True
    )
    other = Departure(parcels=(Parcel(tracking_number="other"),))
    assert not (await domain.create({"43243": 1}, departure=other)).repeated


async def test_parallel_creates_never_give_more_than_was_ordered(domain: Domain, sandbox: Sandbox) -> None:
    results = await asyncio.gather(
        *(domain.create({"43243": 1}, create_always=True) for _ in range(20)), return_exceptions=True
    )
    made = [result for result in results if isinstance(result, Created)]
    refused = [result for result in results if not isinstance(result, Created)]
    assert len({result.shipment_number for result in made}) == 10
    assert {type(result) for result in refused} == {SelectionRefused}
    assert await domain.allocated() == 10
    assert len(sandbox.ledger()) == 10
    assert sum(entry["amount"] for entry in sandbox.ledger()) == 10 * 19900 + 4900


async def test_parallel_identical_creates_make_one(domain: Domain, sandbox: Sandbox) -> None:
    results = await asyncio.gather(*(domain.create({"43243": 2}) for _ in range(10)))
    assert {result.shipment_number for result in results} == {"100001-1"}
    assert [result.repeated for result in results].count(False) == 1
    assert len(sandbox.ledger()) == 1


async def test_a_refused_capture_creates_nothing_and_loses_no_number(domain: Domain, sandbox: Sandbox) -> None:
    await domain.pool.execute("UPDATE orders SET payment_authorization = 'sandbox:decline'")
    for _ in range(2):
        with pytest.raises(CaptureDeclined):
            await domain.create({"43243": 10})
    with pytest.raises(ShipmentNotFound):
        await domain.complete("100001-1")
    assert (await domain.allocated(), await domain.events(), sandbox.ledger()) == (0, [], [])
    await domain.pool.execute("UPDATE orders SET payment_authorization = 'sandbox:ok'")
    assert (await domain.create({"43243": 3})).shipment_number == "100001-1"
    assert [entry["idempotency_key"] for entry in sandbox.ledger()] == ["shipment:100001-1:capture:3"]


async def test_a_lost_answer_keeps_the_pieces_and_the_retry_takes_the_capture_over(
    domain: Domain, sandbox: Sandbox
) -> None:
    await domain.pool.execute("UPDATE orders SET payment_authorization = 'sandbox:lost'")
    domain.timeout_s = 0.3
    with pytest.raises(CaptureOutcomeUnknown):
        await domain.create({"43243": 10})
    assert await domain.events() == []
    with pytest.raises(SelectionRefused):
        await domain.create({"43243": 1})
    assert await domain.create({"43243": 10}, create_always=True) == Created("100001-1", "100001", repeated=False)
    assert len(sandbox.ledger()) == 1
    assert await domain.shipments() == [("100001-1", "INVENTORY_ASSIGNED", 10)]


async def test_a_creation_whose_place_another_one_took_begins_again(
    domain: Domain, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of an identical request empties what was begun, and another creation goes on with its number."""
    mine, others = {"43243": 2}, {"43244": 1}
    begun: list[Any] = []

    async def begin_and_lose_it(connection: Any, creation: Creation, **told: Any) -> Any:
        result = await begin(connection, creation, **told)
        if not begun:
            begun.append(result)
            shipment_id = result["id"]
            await queries("creation").empty_provisional(connection, shipment_id=shipment_id)
            line = await connection.fetchval("SELECT id FROM order_lines WHERE line_id = '43244'")
            await queries("creation").set_contents(
                connection, shipment_id=shipment_id, order_line_ids=[line], quantities=[1]
            )
        return result

    monkeypatch.setattr(create_shipment_module, "begin", begin_and_lose_it)
    created = await domain.create(mine)
    assert created.shipment_number == "100001-2"
    assert await domain.shipments() == [("100001-1", "PROVISIONAL", 1), ("100001-2", "INVENTORY_ASSIGNED", 2)]
    assert [entry["amount"] for entry in sandbox.ledger()] == [2 * 19900]
    assert (await domain.create(others)).shipment_number == "100001-1"


async def test_a_hold_placed_while_a_creation_is_under_way_wins(
    domain: Domain, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reserve_and_hold(*arguments: Any, **more: Any) -> int | None:
        reserved = await reserve_capture(*arguments, **more)
        holds.append(asyncio.create_task(domain.pool.execute("UPDATE orders SET status = 'ONHOLD'")))
        await until_somebody_waits(domain.pool)
        return reserved

    async def lock_after_the_hold(*arguments: Any) -> int:
        # It has waited for the row, but whoever asks when the row is let go may be quicker.
        await asyncio.gather(*holds)
        return await lock_begun(*arguments)

    holds: list[asyncio.Task[str]] = []
    lock_begun = create_shipment_module._lock_begun
    monkeypatch.setattr(create_shipment_module, "reserve_capture", reserve_and_hold)
    monkeypatch.setattr(create_shipment_module, "_lock_begun", lock_after_the_hold)
    with pytest.raises(ShipmentNotReleased):
        await domain.create({"43243": 1})
    assert (sandbox.ledger(), await domain.events(), await domain.allocated()) == ([], [], 1)
    monkeypatch.undo()
    with pytest.raises(ShipmentNotReleased):
        await domain.create({"43243": 1})
    await domain.pool.execute("UPDATE orders SET status = 'CONFIRMED'")
    assert await domain.create({"43243": 1}) == Created("100001-1", "100001", repeated=False)
    assert [entry["idempotency_key"] for entry in sandbox.ledger()] == ["shipment:100001-1:capture:1"]


async def test_without_capture_the_completion_takes_the_money(domain: Domain, sandbox: Sandbox) -> None:
    await domain.create({"43243": 1}, capture=False)
    assert sandbox.ledger() == []
    await domain.complete("100001-1")
    assert len(sandbox.ledger()) == 1
    assert [row[0] for row in await domain.events()] == ["created", "released", "shipped"]


async def test_a_completion_without_capture_leaves_the_money_for_later(domain: Domain, sandbox: Sandbox) -> None:
    await domain.create({"43243": 10, "43244": 2}, capture=False)
    await domain.complete("100001-1", capture=False)
    assert sandbox.ledger() == []
    assert await domain.capture("100001-1") == "100001"
    assert await domain.capture("100001-1") == "100001"
    assert len(sandbox.ledger()) == 1


async def test_a_capture_that_is_refused_changes_nothing(domain: Domain) -> None:
    await domain.pool.execute("UPDATE orders SET payment_authorization = 'sandbox:decline'")
    await domain.create({"43243": 1}, capture=False)
    with pytest.raises(CaptureDeclined):
        await domain.capture("100001-1")
    with pytest.raises(CaptureDeclined):
        await domain.complete("100001-1")
    assert await domain.shipments() == [("100001-1", "INVENTORY_ASSIGNED", 1)]


@pytest.mark.parametrize("columns", ["status = 'ONHOLD'", "status = 'CANCELLED'", "waiting_for_payment = true"])
async def test_an_order_that_is_held_gives_no_shipment(domain: Domain, columns: str) -> None:
    await domain.pool.execute(f"UPDATE orders SET {columns}")
    with pytest.raises(ShipmentNotReleased):
        await domain.create({"43243": 1})
    assert await domain.shipments() == []


@pytest.mark.parametrize("selection", [{}, {"nope": 1}, {"43243": 11}, {"43243": 1, "43244": 3}])
async def test_what_the_order_cannot_give_is_refused_whole(domain: Domain, selection: dict[str, int]) -> None:
    for capture in (True, False):
        with pytest.raises(SelectionRefused):
            await domain.create(selection, capture=capture)
    assert (await domain.shipments(), await domain.allocated()) == ([], 0)
    with pytest.raises(OrderNotFound):
        await domain.create({"43243": 1}, number="nope")


async def test_pieces_and_release_change_until_the_shipment_is_paid(domain: Domain) -> None:
    await domain.create({"43243": 1, "43244": 1}, capture=False)
    await domain.change("100001-1", selection={"43243": 10}, good_to_go=True)
    await domain.change("100001-1", selection={"43243": 10}, good_to_go=True)
    assert await domain.shipments() == [("100001-1", "RELEASED", 10)]
    assert await domain.pool.fetchval("SELECT goods_amount FROM shipments") == 199000
    assert [row[0] for row in await domain.events()] == ["created", "released"]
    with pytest.raises(SelectionRefused):
        await domain.change("100001-1", selection={"43243": 11})
    await domain.change("100001-1", good_to_go=False)
    await domain.capture("100001-1")
    with pytest.raises(ShipmentIsPaid):
        await domain.change("100001-1", selection={"43243": 1})
    with pytest.raises(ShipmentIsPaid):
        await domain.cancel("100001-1")
    await domain.complete("100001-1")
    with pytest.raises(ShipmentAlreadyShipped):
        await domain.change("100001-1", good_to_go=True)
    with pytest.raises(ShipmentAlreadyShipped):
        await domain.cancel("100001-1")


async def test_a_removed_shipment_gives_its_pieces_back_and_its_number_is_never_used_again(domain: Domain) -> None:
    await domain.create({"43243": 10}, capture=False)
    await domain.cancel("100001-1")
    assert await domain.allocated() == 0
    assert [row[0] for row in await domain.events()] == ["created", "cancelled"]
    for again in (domain.cancel("100001-1"), domain.complete("100001-1"), domain.capture("100001-1")):
        with pytest.raises(WaybillError):
            await again
    assert (await domain.create({"43243": 10})).shipment_number == "100001-2"
