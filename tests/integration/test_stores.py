"""Stores: made by orders or by an operator, changed one setting at a time."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from consumers.email.addresses import parse_sender
from schemas.stores import StoreChanges
from service.stores import list_stores, save_store
from tests.support.cli import Cli, make_cli

Pool = asyncpg.Pool
SELLER = {"name": "Butiken AB", "street": "Gatan 1", "postalCode": "111 22", "city": "Stockholm", "country": "SE"}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Cli:
    return make_cli(monkeypatch, capsys, database_url)


def changes(**fields: Any) -> StoreChanges:
    return StoreChanges(**{"code": "se-web", **fields})


async def test_a_new_store_has_defaults(pool: Pool) -> None:
    async with pool.acquire() as connection:
        store = await save_store(connection, changes())
        assert store == (await list_stores(connection))[0]
    assert store.model_dump() == {
        "code": "se-web",
        "name": "se-web",
        "locale": "en",
        "time_zone": "UTC",
        "currency": None,
        "sender": None,
        "seller_address": None,
        "send_shipping_confirmation": True,
    }


async def test_one_setting_changes_and_the_others_stay(pool: Pool) -> None:
    everything = {
        "name": "Butiken",
        "locale": "sv_se",
        "time_zone": "Europe/Stockholm",
        "currency": "sek",
        "sender": "Butiken <no-reply@Butiken.se>",
        "seller_address": SELLER,
        "send_shipping_confirmation": False,
    }
    async with pool.acquire() as connection:
        before = (await save_store(connection, changes(**everything))).model_dump()
        assert before == {
            **everything,
            "code": "se-web",
            "locale": "sv-SE",
            "currency": "SEK",
            "sender": "Butiken <no-reply@butiken.se>",
        }
        after = (await save_store(connection, changes(name="Shop"))).model_dump()
        assert after == {**before, "name": "Shop"}
        cleared = await save_store(connection, changes(), cleared=["currency", "sender", "seller_address"])
    assert cleared.model_dump() == {**after, "currency": None, "sender": None, "seller_address": None}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("mail@example.com", "mail@example.com"),
        ("<mail@example.com>", "mail@example.com"),
        (' "The Shop" <mail@EXAMPLE.com> ', '"The Shop" <mail@example.com>'),
        ("Åsas butik <mail@exämple.se>", "Åsas butik <mail@exämple.se>"),
    ],
)
def test_a_sender_is_one_that_mails_can_come_from(sent: str, kept: str) -> None:
    assert changes(sender=sent).sender == kept
    assert str(parse_sender(kept)[1]).isascii()


def test_the_command_line(cli: Cli) -> None:
    fields = [f"{field}={value}" for field, value in SELLER.items()]
    given = [part for field in fields for part in ("--seller-address", field)]
    ran = cli("stores", "set", "se-web", "--time-zone", "Europe/Stockholm", "--currency", "SEK", *given, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["sellerAddress"] == SELLER
    assert cli("stores", "set", "se-web", "--seller-address", json.dumps({**SELLER, "city": "Lund"})).code == 0
    assert cli("stores", "set", "se-web", "--currency", "", "--no-send-shipping-confirmation").code == 0
    [store] = json.loads(cli("stores", "list", "--json").out)
    assert (store["sellerAddress"]["city"], store["timeZone"]) == ("Lund", "Europe/Stockholm")
    assert (store["currency"], store["sendShippingConfirmation"]) == (None, False)
    assert "Butiken AB, Gatan 1, 111 22, Lund, SE" in cli("stores", "list").out
    assert cli("stores", "set", "se-web", "--seller-address", "").code == 0
    assert json.loads(cli("stores", "list", "--json").out)[0]["sellerAddress"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["se web"], "code: String should match pattern"),
        (["s", "--locale", "swedish"], 'locale: expected a locale such as "sv-SE"'),
        (["s", "--time-zone", "Europe/Nowhere"], 'expected an IANA time zone such as "Europe/Stockholm"'),
        (["s", "--time-zone", "../../etc/passwd"], "expected an IANA time zone"),
        (["s", "--currency", "KRONOR"], "currency: expected an ISO 4217 currency code"),
        (["s", "--name", ""], "name: String should have at least 1 character"),
        (["s", "--sender", "a@b.se\r\nBcc: x@y.se"], "sender: expected text without control characters"),
        (["s", "--sender", "a@b.se, c@d.se"], "expected an e-mail address"),
        (["s", "--sender", "x@y.se <a@b.se>"], "sender: expected"),
        (["s", "--sender", "Shop <a@b.se"], "sender: expected"),
        (["s", "--seller-address", "name"], "expected FIELD=VALUE"),
        (["s", "--seller-address", "{"], "not valid JSON"),
        (["s", "--seller-address", "planet=Mars"], "planet: Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_change_nothing(cli: Cli, arguments: list[str], told: str) -> None:
    ran = cli("stores", "set", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in " ".join(ran.err.replace("│", " ").split())
    assert json.loads(cli("stores", "list", "--json").out) == []
