"""Orders paid through Stripe, over HTTP: at localstripe, and by documented answers where it knows too little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import asyncpg
import pytest

from service.keys import Scope, create_key
from service.payments.registry import open_providers
from service.settings import Settings
from service.shipping.reconcile import Finding, settle_pending
from tests.support import documented_stripe, localstripe
from tests.support.api import Api, serve_api
from tests.support.documented_stripe import DocumentedStripe, open_documented_stripe
from tests.support.localstripe import FAILING_CARD, LocalStripe, LossyWay, open_lossy_way
from tests.support.order_api import Caller
from tests.support.processes import Processes, free_port
from tests.support.rows import Line, insert_order, insert_shipment
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool
# What `insert_order` makes of one order: two shirts and the shipping cost.
TOTAL, SHIRT, SHIPPING = 44_700, 19_900, 4900


@pytest.fixture
async def way(localstripe: LocalStripe) -> AsyncIterator[LossyWay]:
    async with open_lossy_way(localstripe.url) as opened:
        yield opened


@pytest.fixture
def stripe_settings(api_settings: Settings, way: LossyWay) -> Settings:
    """Both providers in one installation."""
    return api_settings.model_copy(update={"stripe_api_key": localstripe.API_KEY, "stripe_url": way.url})


@pytest.fixture
async def stripe_api(stripe_settings: Settings, pool: Pool) -> AsyncIterator[Api]:
    async with serve_api(stripe_settings, pool) as api:
        yield api


@pytest.fixture
async def documented(api_settings: Settings, pool: Pool) -> AsyncIterator[tuple[DocumentedStripe, Api]]:
    async with open_documented_stripe() as stripe:
        update = {"stripe_api_key": documented_stripe.API_KEY, "stripe_url": stripe.url}
        async with serve_api(api_settings.model_copy(update=update), pool) as api:
            yield stripe, api


async def stripe_order(pool: Pool, authorization: str, number: str = "100001", **columns: Any) -> None:
    """Insert an order of two shirts, all on one shipment that may leave."""
    order = await insert_order(pool, number, payment_provider="stripe", payment_authorization=authorization, **columns)
    await insert_shipment(pool, order)


async def captures(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("SELECT provider, state, amount, provider_reference FROM captures ORDER BY id")
    return [tuple(row) for row in rows]


async def test_each_order_is_paid_by_its_own_provider(
    stripe_api: Api, pool: Pool, localstripe: LocalStripe, sandbox: Sandbox
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await stripe_order(pool, authorization)
    await insert_shipment(pool, await insert_order(pool, "100002"))
    answers = await asyncio.gather(stripe_api.complete("100001-1"), stripe_api.complete("100002-1"))
    assert [answer.status for answer in answers] == [200, 200]
    assert localstripe.taken(authorization) == TOTAL
    [entry] = sandbox.ledger()
    assert entry["idempotency_key"] == "shipment:100002-1:capture:1"
    by_stripe, by_sandbox = sorted(await captures(pool), reverse=True)
    assert by_stripe == ("stripe", "CAPTURED", TOTAL, localstripe.intent(authorization)["latest_charge"]["id"])
    assert by_sandbox == ("sandbox", "CAPTURED", TOTAL, entry["id"])
    assert (await stripe_api.complete("100001-1")).status == 409


async def test_calls_raced_for_one_shipment_capture_it_once(
    stripe_api: Api, pool: Pool, localstripe: LocalStripe, way: LossyWay
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await stripe_order(pool, authorization)
    answers = await asyncio.gather(*(stripe_api.complete("100001-1") for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert localstripe.taken(authorization) == TOTAL
    assert len([line for line in way.passed if line.endswith("/capture")]) == 1


async def test_a_process_with_stripe_alone_needs_no_sandbox(
    processes: Processes, database_settings: Settings, pool: Pool, localstripe: LocalStripe
) -> None:
    authorization, port = localstripe.authorize(TOTAL), free_port()
    await stripe_order(pool, authorization)
    settings = Settings(
        database_url=database_settings.database_url,
        stripe_api_key="sk_test_localstripe",
        stripe_url=localstripe.url,
        port=port,
        log_format="json",
    )
    process = processes.start("api", settings=settings)
    url = f"http://127.0.0.1:{port}"
    await process.wait_until_ready(f"{url}/healthz")
    key = await create_key(pool, partner="tests", scopes=list(Scope))
    async with aiohttp.ClientSession() as session:
        assert (await Api(url, key, session).complete("100001-1")).status == 200
    assert localstripe.taken(authorization) == TOTAL
    assert "sk_test_localstripe" not in process.output()


async def test_what_is_not_shipped_is_given_back(stripe_api: Api, pool: Pool, localstripe: LocalStripe) -> None:
    authorization = localstripe.authorize(TOTAL + 10_000)
    await stripe_order(pool, authorization)
    assert (await stripe_api.complete("100001-1")).status == 200
    assert localstripe.taken(authorization) == TOTAL


def failing(stripe: LocalStripe) -> str:
    return stripe.authorize(TOTAL, card=FAILING_CARD)


def canceled(stripe: LocalStripe) -> str:
    authorization = stripe.authorize(TOTAL)
    stripe.call("POST", f"payment_intents/{authorization}/cancel")
    return authorization


def captured_by_hand(stripe: LocalStripe) -> str:
    authorization = stripe.authorize(TOTAL)
    stripe.call("POST", f"payment_intents/{authorization}/capture")
    return authorization


def too_small(stripe: LocalStripe) -> str:
    return stripe.authorize(TOTAL - 1)


def in_euros(stripe: LocalStripe) -> str:
    return stripe.authorize(TOTAL, "eur")


def unknown(_: LocalStripe) -> str:
    return "pi_doesnotexist"


@pytest.mark.parametrize("authorize", [failing, canceled, captured_by_hand, too_small, in_euros, unknown])
async def test_a_refusal_ships_nothing_and_a_better_authorization_does(
    stripe_api: Api, pool: Pool, localstripe: LocalStripe, authorize: Callable[[LocalStripe], str]
) -> None:
    await stripe_order(pool, authorize(localstripe))
    answer = await stripe_api.complete("100001-1")
    assert answer.status == 500
    assert "Stripe" not in answer.body["error"]
    assert await Caller(stripe_api).no("PUT", "/shipment", {"shipment": "100001-1"}) == "capture failed"
    assert [row[:2] for row in await captures(pool)] == [("stripe", "DECLINED")] * 2
    assert await pool.fetchval("SELECT status FROM shipments") == "RELEASED"
    better = localstripe.authorize(TOTAL)
    await pool.execute("UPDATE orders SET payment_authorization = $1", better)
    assert (await stripe_api.complete("100001-1")).status == 200
    assert localstripe.taken(better) == TOTAL


async def test_a_lost_answer_is_asked_about_and_never_captured_twice(
    stripe_api: Api, pool: Pool, localstripe: LocalStripe, way: LossyWay
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await stripe_order(pool, authorization)
    way.cut_off.add(authorization)
    assert (await stripe_api.complete("100001-1")).status == 500
    assert localstripe.taken(authorization) == TOTAL
    assert [row[1] for row in await captures(pool)] == ["PENDING"]
    assert (await stripe_api.complete("100001-1")).status == 200
    assert [row[1] for row in await captures(pool)] == ["CAPTURED"]
    assert [line for line in way.passed if line.endswith("/capture")] == [
        f"POST /v1/payment_intents/{authorization}/capture"
    ]


async def test_an_answer_later_than_the_deadline_is_asked_about(
    stripe_settings: Settings, pool: Pool, localstripe: LocalStripe, way: LossyWay
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await stripe_order(pool, authorization)
    way.held_back.add(authorization)
    async with serve_api(stripe_settings.model_copy(update={"capture_timeout_s": 3}), pool) as api:
        assert (await api.complete("100001-1")).status == 500
        assert (await api.complete("100001-1")).status == 200
    assert localstripe.taken(authorization) == TOTAL


async def test_a_wrong_key_declines_nothing(
    stripe_settings: Settings, pool: Pool, documented: tuple[DocumentedStripe, Api]
) -> None:
    stripe, api = documented
    await stripe_order(pool, stripe.authorize(TOTAL).id)
    wrong = stripe_settings.model_copy(update={"stripe_api_key": "rk_test_expired", "stripe_url": stripe.url})
    async with serve_api(wrong, pool) as misled:
        answer = await misled.complete("100001-1")
    assert answer.status == 503
    assert "Retry-After" in answer.headers
    assert [row[1] for row in await captures(pool)] == ["PENDING"]
    assert (await api.complete("100001-1")).status == 200
    assert [each.amount for each in stripe.captures] == [TOTAL]


async def leave_open(pool: Pool, api: Api, way: LossyWay, authorization: str) -> None:
    """Complete a shipment whose capture's answer is lost, and let time pass."""
    await stripe_order(pool, authorization)
    way.cut_off.add(authorization)
    assert (await api.complete("100001-1")).status == 500
    await pool.execute("UPDATE captures SET created_at = created_at - interval '2 days'")


async def test_reconciliation_asks_stripe(
    stripe_api: Api, stripe_settings: Settings, pool: Pool, localstripe: LocalStripe, way: LossyWay
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await leave_open(pool, stripe_api, way, authorization)
    async with open_providers(stripe_settings) as providers, pool.acquire() as connection:
        [settlement] = await settle_pending(connection, providers=providers, timeout_s=10)
    assert (settlement.finding, settlement.provider) == (Finding.CAPTURED, "stripe")
    [row] = await captures(pool)
    assert row == ("stripe", "CAPTURED", TOTAL, localstripe.intent(authorization)["latest_charge"]["id"])
    assert (await stripe_api.complete("100001-1")).status == 200
    assert len([line for line in way.passed if line.endswith("/capture")]) == 1


async def test_an_attempt_that_stripe_answers_with_the_same_error_for_a_day_is_given_up(
    documented: tuple[DocumentedStripe, Api], api_settings: Settings, pool: Pool
) -> None:
    stripe, api = documented
    intent = stripe.authorize(TOTAL)
    await stripe_order(pool, intent.id)
    stripe.scripted["capture"] = [(500, b'{"error": {"type": "api_error"}}')] * 2
    assert [(await api.complete("100001-1")).status for _ in range(2)] == [500, 500]
    await pool.execute("UPDATE captures SET created_at = created_at - interval '2 hours'")
    update = {"stripe_api_key": documented_stripe.API_KEY, "stripe_url": stripe.url}
    async with open_providers(api_settings.model_copy(update=update)) as providers, pool.acquire() as connection:
        [settlement] = await settle_pending(connection, providers=providers, timeout_s=10)
    assert settlement.finding is Finding.GIVEN_UP
    assert (await api.complete("100001-1")).status == 200
    assert [each.amount for each in stripe.captures] == [TOTAL]
    assert [row[1] for row in await captures(pool)] == ["DECLINED", "CAPTURED"]


async def test_reconciliation_with_another_accounts_key_gives_nothing_up(
    stripe_api: Api, stripe_settings: Settings, pool: Pool, localstripe: LocalStripe, way: LossyWay
) -> None:
    await leave_open(pool, stripe_api, way, localstripe.authorize(TOTAL))
    async with open_documented_stripe() as another:
        update = {"stripe_api_key": documented_stripe.API_KEY, "stripe_url": another.url}
        other = stripe_settings.model_copy(update=update)
        async with open_providers(other) as providers, pool.acquire() as connection:
            [settlement] = await settle_pending(connection, providers=providers, timeout_s=10)
    assert settlement.finding is Finding.UNKNOWN
    assert [row[1] for row in await captures(pool)] == ["PENDING"]


async def two_shipments(pool: Pool, authorization: str) -> None:
    """Insert an order whose two shirts leave one by one."""
    order = await insert_order(
        pool, lines=(Line(quantity=2),), payment_provider="stripe", payment_authorization=authorization
    )
    for n in (1, 2):
        await insert_shipment(pool, order, n=n, quantities={"43243": 1})


async def test_two_shipments_of_one_authorization_are_captured_one_after_the_other(
    documented: tuple[DocumentedStripe, Api], pool: Pool
) -> None:
    stripe, api = documented
    intent = stripe.authorize(TOTAL)
    await two_shipments(pool, intent.id)
    assert (await api.complete("100001-2")).status == 200
    assert (intent.status, intent.received) == ("requires_capture", SHIRT + SHIPPING)
    assert (await api.complete("100001-1")).status == 200
    assert (intent.status, intent.received) == ("succeeded", TOTAL)
    assert [(each.amount, each.notes[0]) for each in stripe.captures] == [
        (SHIRT + SHIPPING, f"{SHIRT + SHIPPING} shipment:100001-2:capture:1"),
        (SHIRT, f"{SHIRT} shipment:100001-1:capture:1"),
    ]


async def test_two_shipments_at_the_same_time_take_what_is_theirs(
    documented: tuple[DocumentedStripe, Api], pool: Pool
) -> None:
    stripe, api = documented
    intent = stripe.authorize(TOTAL)
    await two_shipments(pool, intent.id)
    answers = await asyncio.gather(api.complete("100001-1"), api.complete("100001-2"))
    assert [answer.status for answer in answers] == [200, 200]
    assert sorted(each.amount for each in stripe.captures) == [SHIRT, SHIRT + SHIPPING]
    assert (intent.status, intent.received) == ("succeeded", TOTAL)


async def test_of_two_equal_shipments_the_one_whose_answer_was_lost_is_told_apart(
    api_settings: Settings, pool: Pool, documented: tuple[DocumentedStripe, Api]
) -> None:
    stripe, api = documented
    intent = stripe.authorize(TOTAL)
    await two_shipments(pool, intent.id)
    await pool.execute("UPDATE orders SET shipping_amount = 0, total_amount = total_amount - shipping_amount")
    async with open_lossy_way(stripe.url) as way:
        update = {"stripe_api_key": documented_stripe.API_KEY, "stripe_url": way.url}
        async with serve_api(api_settings.model_copy(update=update), pool) as lossy:
            way.cut_off.add(intent.id)
            assert (await lossy.complete("100001-1")).status == 500
    stripe.forget_idempotency_keys()
    assert (await api.complete("100001-2")).status == 200
    assert (await api.complete("100001-1")).status == 200
    assert [each.amount for each in stripe.captures] == [SHIRT, SHIRT]
    assert [row[1] for row in await captures(pool)] == ["CAPTURED", "CAPTURED"]


async def test_where_stripe_cannot_keep_the_rest_a_part_is_refused_and_nothing_released(
    stripe_api: Api, pool: Pool, localstripe: LocalStripe
) -> None:
    authorization = localstripe.authorize(TOTAL)
    await two_shipments(pool, authorization)
    assert (await stripe_api.complete("100001-1")).status == 500
    assert localstripe.taken(authorization) is None
    reason = await pool.fetchval("SELECT decline_reason FROM captures")
    assert reason == "multicapture is not available for this PaymentIntent"
