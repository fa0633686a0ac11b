"""Captures that calls have left open are settled by what the provider says, and by nothing else."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping

import asyncpg
import pytest

from service.payments.provider import PaymentProvider
from service.payments.registry import open_providers
from service.settings import Settings
from service.shipping.create_shipment import Creation, create_shipment
from service.shipping.errors import WaybillError
from service.shipping.reconcile import Finding, Settlement, paid_and_not_shipped, settle_pending
from tests.support.api import Api, serve_api
from tests.support.processes import Processes
from tests.support.rows import TRACEPARENT, insert_order, insert_shipment
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool


@pytest.fixture
async def providers(api_settings: Settings) -> AsyncIterator[Mapping[str, PaymentProvider]]:
    async with open_providers(api_settings) as opened:
        yield opened


async def settle(pool: Pool, providers: Mapping[str, PaymentProvider]) -> list[Settlement]:
    async with pool.acquire() as connection:
        return await settle_pending(connection, providers=providers, timeout_s=2)


async def grow_old(pool: Pool, hours: float) -> None:
    """Let every capture have been made earlier."""
    await pool.execute(
        "UPDATE captures SET created_at = created_at - make_interval(secs => $1::float8 * 3600),"
        " settled_at = settled_at - make_interval(secs => $1::float8 * 3600)",
        hours,
    )


async def leave_open(pool: Pool, settings: Settings, authorization: str, *, url: str | None = None) -> None:
    """Complete a shipment such that its capture stays PENDING."""
    await insert_shipment(pool, await insert_order(pool, payment_authorization=authorization))
    update = {"capture_timeout_s": 0.3} | ({"payment_url": url} if url else {})
    async with serve_api(settings.model_copy(update=update), pool) as api:
        assert (await api.complete("100001-1")).status in {500, 503}
    assert await state(pool) == "PENDING"


async def state(pool: Pool) -> str:
    return await pool.fetchval("SELECT state FROM captures ORDER BY id DESC LIMIT 1")


async def test_money_that_moved_is_written_down_and_the_shipment_waits_for_its_caller(
    pool: Pool, api: Api, api_settings: Settings, providers: Mapping[str, PaymentProvider], sandbox: Sandbox
) -> None:
    await leave_open(pool, api_settings, "sandbox:lost")
    assert await settle(pool, providers) == [], "a call may still be under way"
    await grow_old(pool, 0.1)
    [settlement] = await settle(pool, providers)
    assert (settlement.finding, settlement.amount, settlement.shipment_number) == (Finding.CAPTURED, 44700, "100001-1")
    assert await state(pool) == "CAPTURED"
    assert await pool.fetchval("SELECT status FROM shipments") == "RELEASED"
    assert await settle(pool, providers) == []

    async with pool.acquire() as connection:
        assert await paid_and_not_shipped(connection, older_s=3600) == []
        await grow_old(pool, 2)
        [unshipped] = await paid_and_not_shipped(connection, older_s=3600)
        assert (unshipped.shipment_number, unshipped.amount, unshipped.status) == ("100001-1", 44700, "RELEASED")
        assert unshipped.provider_reference == sandbox.ledger()[0]["id"]
        assert (await api.complete("100001-1")).status == 200
        assert await paid_and_not_shipped(connection, older_s=3600) == []
    assert len(sandbox.ledger()) == 1


async def test_what_the_provider_never_saw_is_given_up_only_after_an_hour(
    pool: Pool, api: Api, api_settings: Settings, providers: Mapping[str, PaymentProvider], sandbox: Sandbox
) -> None:
    await leave_open(pool, api_settings, "sandbox:ok", url="http://127.0.0.1:1")
    await grow_old(pool, 0.5)
    assert [each.finding for each in await settle(pool, providers)] == [Finding.NOT_SEEN]
    assert await state(pool) == "PENDING"
    await grow_old(pool, 0.6)
    assert [each.finding for each in await settle(pool, providers)] == [Finding.GIVEN_UP]
    assert await pool.fetchval("SELECT reserved_amount FROM orders") == 0
    assert (await api.complete("100001-1")).status == 200
    assert [entry["idempotency_key"] for entry in sandbox.ledger()] == ["shipment:100001-1:capture:2"]


async def test_a_provider_that_cannot_be_asked_changes_nothing(
    pool: Pool, api_settings: Settings, sandbox: Sandbox
) -> None:
    await leave_open(pool, api_settings, "sandbox:lost")
    await grow_old(pool, 5)
    async with open_providers(api_settings.model_copy(update={"payment_url": "http://127.0.0.1:1"})) as away:
        assert [each.finding for each in await settle(pool, away)] == [Finding.UNKNOWN]
    assert [each.finding for each in await settle(pool, {})] == [Finding.UNKNOWN]
    assert await state(pool) == "PENDING"


async def test_a_creation_that_was_never_repeated_gives_its_pieces_back(
    pool: Pool, api_settings: Settings, providers: Mapping[str, PaymentProvider]
) -> None:
    await insert_order(pool)
    away = api_settings.model_copy(update={"payment_url": "http://127.0.0.1:1"})
    async with open_providers(away) as nobody, pool.acquire() as connection:
        with pytest.raises(WaybillError):
            await create_shipment(
                connection,
                Creation("100001", {"43243": 2}),
                providers=nobody,
                capture_timeout_s=1,
                request_id="r",
                traceparent=TRACEPARENT,
            )
    assert await pool.fetchval("SELECT sum(allocated_quantity) FROM order_lines") == 2
    await grow_old(pool, 2)
    assert [each.finding for each in await settle(pool, providers)] == [Finding.GIVEN_UP]
    assert await pool.fetchval("SELECT sum(allocated_quantity) FROM order_lines") == 0


@pytest.mark.parametrize("output", ["text", "csv", "json"])
async def test_the_report_can_be_read_by_an_accountant(
    pool: Pool, api_settings: Settings, processes: Processes, output: str
) -> None:
    await leave_open(pool, api_settings, "sandbox:lost")
    await grow_old(pool, 48)
    ran = processes.start("reconcile", "--format", output, "--unshipped-after", "0", settings=api_settings)
    assert await ran.wait_for_exit() == 0, ran.output()
    if output == "json":
        rows = json.loads(ran.output())["captures"]
    elif output == "csv":
        rows = list(csv.DictReader(io.StringIO(ran.output())))
    else:
        assert "1 captures were left open" in ran.output()
        assert "447.00 SEK" in ran.output()
        return
    assert [(row["kind"], row["shipment"], row["amount"], row["currency"]) for row in rows] == [
        ("left open", "100001-1", "447.00", "SEK"),
        ("paid, not shipped", "100001-1", "447.00", "SEK"),
    ]
    assert rows[0]["finding"] == "captured"


async def test_it_goes_on_until_it_is_stopped(pool: Pool, api_settings: Settings, processes: Processes) -> None:
    await leave_open(pool, api_settings, "sandbox:lost")
    ran = processes.start("reconcile", "--every", "0.01", "--format", "json", settings=api_settings)
    await ran.wait_for_line('"captures": []')
    await grow_old(pool, 1)
    await ran.wait_for_line('"finding": "captured"')
    ran.terminate()
    assert await ran.wait_for_exit() == 0
