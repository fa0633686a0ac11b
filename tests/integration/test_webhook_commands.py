"""`waybill webhooks`, as operators type it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest
import typer
from aiohttp import web
from structlog.testing import capture_logs

from service.commands.webhooks import parse_overlap
from service.settings import Settings
from tests.support.cli import Ran, make_cli
from tests.support.webhooks import (
    LOOPBACK,
    Receiver,
    add,
    hooked,
    receiving,
    sending,
    settled,
    silence,
    verifies,
)

Pool = asyncpg.Pool
Cli = Callable[..., Awaitable[Ran]]


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings without a broker, which nothing here needs."""
    return Settings(database_url=database_url)


@pytest.fixture(autouse=True)
def quiet_senders() -> Iterator[None]:
    """Keep what senders log out of what commands print."""
    with capture_logs():
        yield


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Cli:
    """Run `waybill webhooks …` while the test's receivers go on."""
    monkeypatch.setenv("WAYBILL_WEBHOOKS_ALLOWED_NETWORKS", ",".join(LOOPBACK))
    monkeypatch.setenv("WAYBILL_WEBHOOKS_TIMEOUT_S", "1")
    run = make_cli(monkeypatch, capsys, database_url)

    async def webhooks(*arguments: str) -> Ran:
        return await asyncio.to_thread(run, "webhooks", *arguments)

    return webhooks


async def added(cli: Cli, receiver: Receiver, *options: str) -> str:
    """Add an endpoint, let the receiver know its secret, and return its id."""
    ran = await cli("add", "--partner", "Acme", "--url", receiver.url, *options, "--json")
    assert (ran.code, ran.err) == (0, "")
    answer = json.loads(ran.out)
    receiver.secret = answer["secret"]
    return str(answer["id"])


async def listed(cli: Cli, *arguments: str) -> Any:
    ran = await cli(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


async def test_an_endpoint_is_added_and_its_secret_shown_once(cli: Cli, pool: Pool) -> None:
    async with receiving() as receiver:
        ran = await cli("add", "--partner", " Åkeri AB ", "--url", receiver.url, "--event", "order-shipment-shipped")
        assert ran.code == 0
        lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
        assert lines["secret"].startswith("whsec_")
        assert "not shown again" in ran.err
        shown = await cli("list")
        assert lines["id"] in shown.out
        for column in ("Åkeri AB", receiver.url, "order-shipment-shipped", "all", "active"):
            assert column in shown.out
        [endpoint] = await listed(cli, "list")
    assert endpoint["id"] == lines["id"]
    assert endpoint | {"createdAt": "", "id": ""} == {
        "id": "",
        "partner": "Åkeri AB",
        "url": receiver.url,
        "events": ["order-shipment-shipped"],
        "stores": None,
        "state": "active",
        "createdAt": "",
        "failingSince": None,
        "notBefore": None,
        "disabledAt": None,
        "disabledReason": None,
        "previousSecretUntil": None,
        "waiting": 0,
        "givenUp": 0,
    }
    assert lines["secret"] not in shown.out
    assert lines["secret"] not in json.dumps(endpoint)


REFUSED = [
    (("--partner", "", "--url", "https://x.example"), "at least 1 character"),
    (("--partner", "A", "--url", "http://10.0.0.7/"), "not a public address"),
    (("--partner", "A", "--url", "https://[fe80::1]/"), "not a public address"),
    (("--partner", "A", "--url", "http://8.8.8.8/"), "https is required"),
    (("--partner", "A", "--url", "https://no-such-host.invalid/"), "does not resolve"),
    (("--partner", "A", "--url", "https://me:geheim@x.example/"), "credentials"),
    (("--partner", "A", "--url", "x.example"), "https://host/path"),
    (("--partner", "A", "--url", "http://127.0.0.1/", "--event", "shipped"), "order-shipment-shipped"),
    (("--partner", "A", "--url", "http://127.0.0.1/", "--store", "no store"), "--store"),
]


async def test_what_cannot_be_added_is_told(cli: Cli, pool: Pool) -> None:
    for options, told in REFUSED:
        ran = await cli("add", *options)
        assert ran.code == 2, options
        assert told in " ".join(ran.err.replace("│", " ").split()), options
        assert "geheim" not in ran.err
    assert await pool.fetchval("SELECT count(*) FROM webhook_endpoints") == 0


async def test_a_store_without_orders_is_taken_with_a_word(cli: Cli) -> None:
    async with receiving() as receiver:
        ran = await cli("add", "--partner", "A", "--url", receiver.url, "--store", "se-web")
    assert ran.code == 0
    assert "no store se-web yet" in ran.err


async def test_a_wrong_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_WEBHOOKS_ALLOWED_NETWORKS", "10.0.0.0/8,everything")
    ran = await cli("add", "--partner", "A", "--url", "https://x.example")
    assert ran.code == 2
    assert "WAYBILL_WEBHOOKS_ALLOWED_NETWORKS: 'everything'" in ran.err


async def test_a_test_is_signed_and_its_result_shown(cli: Cli, pool: Pool) -> None:
    async with receiving() as receiver:
        endpoint = await added(cli, receiver)
        receiver.reply = lambda request: web.Response(status=202, text="queued") if request.verified else 401
        ran = await cli("test", endpoint)
        assert (ran.code, ran.out.splitlines()[1:]) == (0, ["queued"])
        assert ran.out.startswith("accepted: HTTP 202, ")
        [request] = receiver.requests
        assert request.headers["ce-type"] == "waybill.test"
        assert json.loads(request.body)["eventType"]["name"] == "WAYBILL_TEST"
        receiver.reply = lambda _: 500
        ran = await cli("test", endpoint, "--json")
        assert ran.code == 1
        assert json.loads(ran.out) | {"durationMs": 0} == {
            "accepted": False,
            "code": 500,
            "durationMs": 0,
            "error": None,
            "excerpt": "",
        }
    assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries") == 0


async def test_a_test_of_a_silent_receiver_ends(cli: Cli, pool: Pool) -> None:
    async with silence() as silent:
        endpoint = await add(pool, silent)
        ran = await cli("test", endpoint)
    assert ran.code == 1
    assert ran.out.startswith("failed: no answer within 1 s")


async def test_a_rotation_shows_the_new_secret_and_until_when_the_old_one_is_good(cli: Cli) -> None:
    async with receiving() as receiver:
        endpoint = await added(cli, receiver)
        old = receiver.secret
        new = (await listed(cli, "rotate", endpoint, "--overlap", "2d"))["secret"]
        assert (await listed(cli, "list"))[0]["previousSecretUntil"]
        receiver.reply = lambda _: 200
        await cli("test", endpoint)
        [request] = receiver.requests
        assert [verifies(secret, request.body, request.headers) for secret in (old, new)] == [True, True]
        leaked = await cli("rotate", endpoint, "--overlap", "0m")
        assert leaked.code == 0
        assert (await listed(cli, "list"))[0]["previousSecretUntil"] is None
        await cli("test", endpoint)
        last = receiver.requests[-1]
        assert [verifies(secret, last.body, last.headers) for secret in (old, new)] == [False, False]


async def test_deliveries_are_listed_with_what_became_of_them(cli: Cli, settings: Settings, pool: Pool) -> None:
    quick = hooked(settings, webhooks_retry_delays_s=(0.05,))
    async with receiving() as good, receiving() as bad, sending(quick) as sender:
        accepting, refusing = await add(pool, good), await add(pool, bad, partner="Bad")
        bad.reply = lambda _: web.Response(status=422, text="unknown \x1b[31mcarrier")
        [event_id] = await sender.tell_many(1)
        await bad.wait_for(2)
        await good.wait_for_accepted(1)
        await settled(pool, DELIVERED=1, FAILED=1)
        deliveries = await listed(cli, "deliveries")
        assert {(each["endpoint"], each["status"], each["attemptCount"]) for each in deliveries} == {
            (accepting, "delivered", 1),
            (refusing, "failed", 2),
        }
        assert {each["event"] for each in deliveries} == {str(event_id)}
        [failed] = await listed(cli, "deliveries", "--endpoint", refusing, "--status", "FAILED")
        last = failed["lastAttempt"]
        assert (last["n"], last["code"], last["error"], last["excerpt"]) == (
            2,
            422,
            "HTTP 422",
            "unknown [31mcarrier",
        )
        assert [failed["nextAttemptAt"], failed["shipment"]] == [None, "100001-1"]
        one = await listed(cli, "deliveries", str(failed["id"]))
        assert [(each["n"], each["code"]) for each in one["attempts"]] == [(1, 422), (2, 422)]
        shown = (await cli("deliveries", str(failed["id"]))).out
        for part in ("Bad", "failed", "HTTP 422", "unknown [31mcarrier", "order-shipment-shipped"):
            assert part in shown
        assert "\x1b" not in shown
        assert len(await listed(cli, "deliveries", "--limit", "1")) == 1
        assert "whsec_" not in (await cli("deliveries")).out
    missing = await cli("deliveries", "999")
    assert (missing.code, missing.err) == (1, "waybill: there is no delivery 999\n")


async def test_retries_are_chosen(cli: Cli, settings: Settings, pool: Pool) -> None:
    at_once = hooked(settings, webhooks_retry_delays_s=())
    async with receiving() as one, receiving() as another, sending(at_once) as sender:
        first, second = await add(pool, one), await add(pool, another)
        one.reply = another.reply = lambda _: 500
        await sender.tell_many(3)
        await settled(pool, FAILED=6)
        one.reply = another.reply = lambda _: None
        chosen = (await listed(cli, "deliveries", "--endpoint", first, "--limit", "1"))[0]["id"]
        assert (await cli("retry", str(chosen))).out == "1 deliveries are due now\n"
        await one.wait_for_accepted(1)
        assert (await cli("retry", "--endpoint", first)).out == "2 deliveries are due now\n"
        await one.wait_for_accepted(3)
        assert another.accepted == []
        assert (await cli("disable", second, "--reason", "moving house")).code == 0
        assert "disabled since" in (await cli("list")).out
        assert "moving house" in (await cli("list")).out
        held = await cli("retry", "--all")
        assert held.out == "3 deliveries are due now\n"
        assert held.err.startswith("3 of them wait")
        assert {each["status"] for each in await listed(cli, "deliveries", "--endpoint", second)} == {"held"}
        assert len(await listed(cli, "deliveries", "--status", "held")) == 3
        assert (await cli("enable", second)).out == f"{second} is enabled; 3 deliveries were waiting\n"
        await another.wait_for_accepted(3)
        await settled(pool, DELIVERED=6)
        assert (await cli("retry", "--all")).out == "0 deliveries are due now\n"
        delivered = await cli("retry", str(chosen), str(chosen), "999999")
        assert delivered.code == 1
        assert delivered.err == "waybill: 2 of those named are delivered, being sent or unknown\n"


async def test_a_retry_says_which(cli: Cli) -> None:
    for arguments in ((), ("1", "--all"), ("--endpoint", "whe_0", "--all")):
        ran = await cli("retry", *arguments)
        assert ran.code == 2
        assert "say which" in ran.err


async def test_nothing_that_waits_is_removed_unless_that_is_said(cli: Cli, settings: Settings, pool: Pool) -> None:
    async with receiving() as receiver, receiving() as other, sending(hooked(settings)) as sender:
        endpoint = await added(cli, receiver)
        kept = await added(cli, other)
        await sender.tell_many(1)
        await receiver.wait_for_accepted(1)
        await cli("disable", endpoint)
        await sender.tell_many(2)
        await other.wait_for_accepted(3)
        refused = await cli("remove", endpoint)
        assert refused.code == 1
        assert "2 deliveries wait" in refused.err
        removed = await cli("remove", endpoint, "--discard")
        assert (removed.code, removed.out) == (0, f"{endpoint} is removed; 2 deliveries were discarded\n")
        assert [each["id"] for each in await listed(cli, "list")] == [kept]
        assert len(await listed(cli, "deliveries")) == 3
        await sender.tell_many(1)
        await other.wait_for_accepted(4)
    assert len(receiver.requests) == 1


async def test_an_unknown_endpoint_is_named(cli: Cli) -> None:
    for command in ("remove", "rotate", "enable", "disable", "test"):
        ran = await cli(command, "whe_000000000000")
        assert (ran.code, ran.err) == (1, "waybill: no webhook endpoint has the id whe_000000000000\n")


@pytest.mark.parametrize(("text", "seconds"), [("0m", 0), ("30m", 1800), ("24h", 86400), ("7d", 604800)])
def test_an_overlap_is_read(text: str, seconds: int) -> None:
    assert parse_overlap(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "999999d", "24h "])
def test_another_overlap_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="30m, 24h or 7d"):
        parse_overlap(text)
