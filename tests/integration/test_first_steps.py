from __future__ import annotations

import json
import shlex
from pathlib import Path

import asyncpg

from service.dev.first_steps import FirstSteps, curl_line, prepare_first_steps
from service.keys import Scope, list_keys, revoke_key
from tests.support.rows import insert_order, insert_shipment


async def test_a_key_with_every_scope_is_made_once(database_url: str, pool: asyncpg.Pool, tmp_path: Path) -> None:
    first = await prepare_first_steps(database_url, key_file=tmp_path / "key.json")
    again = await prepare_first_steps(database_url, key_file=tmp_path / "key.json")
    assert first == again
    async with pool.acquire() as connection:
        (key,) = await list_keys(connection)
    assert key.id == first.key_id
    assert set(key.scopes) == set(Scope)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600


async def test_a_key_that_is_valid_no_longer_is_replaced(database_url: str, pool: asyncpg.Pool, tmp_path: Path) -> None:
    first = await prepare_first_steps(database_url, key_file=tmp_path / "key.json")
    async with pool.acquire() as connection:
        await revoke_key(connection, first.key_id)
    second = await prepare_first_steps(database_url, key_file=tmp_path / "key.json")
    assert second.key_id != first.key_id


async def test_the_shipment_to_complete_is_one_that_can_be(
    database_url: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    async with pool.acquire() as connection:
        for number, status, columns in (
            ("1", "SHIPPED", {}),
            ("2", "INVENTORY_ASSIGNED", {}),
            ("3", "RELEASED", {"payment_authorization": "sandbox:decline"}),
            ("4", "RELEASED", {"payment_authorization": "sandbox:okay"}),
            ("5", "RELEASED", {"payment_provider": "stripe"}),
            ("6", "RELEASED", {"status": "ONHOLD"}),
            ("7", "RELEASED", {"waiting_for_payment": True}),
        ):
            await insert_shipment(connection, await insert_order(connection, number, **columns), status=status)
        assert (await prepare_first_steps(database_url, key_file=tmp_path / "key.json")).shipment_number is None
        for number in ("8", "9"):
            order = await insert_order(connection, number, payment_authorization="sandbox:ok#demo")
            await insert_shipment(connection, order)
    assert (await prepare_first_steps(database_url, key_file=tmp_path / "key.json")).shipment_number == "8-1"


def test_the_curl_line_is_one_command_however_its_parts_look() -> None:
    steps = FirstSteps("key_1", "it's $SECRET `x`", "100 001-1")
    words = shlex.split(curl_line(steps, api_url="http://127.0.0.1:8080") or "")
    assert words[words.index("-u") + 1] == "key_1:it's $SECRET `x`"
    assert json.loads(words[words.index("-d") + 1])["shipmentNumber"] == "100 001-1"
    assert words[-1] == "http://127.0.0.1:8080/integration/api/shipping/v1/shipments/complete-shipment"


def test_without_a_shipment_there_is_no_curl_line() -> None:
    assert curl_line(FirstSteps("key_1", "secret", None), api_url="http://127.0.0.1:8080") is None
