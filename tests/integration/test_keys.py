"""API keys: created once in clear, kept as a hash, listed without it, revoked for good."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import typer

from service.commands.keys import parse_expiry
from service.keys import SECRET_PREFIX, KeyNotFound, Scope, create_key, hash_secret, list_keys, revoke_key
from sql import queries
from tests.support.cli import Cli, make_cli

Pool = asyncpg.Pool
NOW = datetime(2026, 11, 21, 18, 40, tzinfo=UTC)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Cli:
    return make_cli(monkeypatch, capsys, database_url)


async def test_a_key_is_found_by_its_secret_and_nothing_stored_reveals_it(pool: Pool) -> None:
    key = await create_key(pool, partner="Acme", scopes=[Scope.OPS, Scope.READ_ORDERS, Scope.OPS])
    assert key.secret.startswith(SECRET_PREFIX)
    assert len(key.secret) - len(SECRET_PREFIX) == 43  # 256 bits, 6 in each character
    assert key.scopes == (Scope.OPS, Scope.READ_ORDERS)
    row = await queries("keys").find_by_hash(pool, secret_sha256=hash_secret(key.secret))
    assert (row["id"], row["partner"], row["scopes"]) == (key.id, "Acme", ["ops", "orders:read"])
    assert await queries("keys").find_by_hash(pool, secret_sha256=hash_secret(key.secret + "x")) is None
    assert await queries("keys").find_by_hash(pool, secret_sha256=hash_secret(key.id)) is None
    stored = str(dict(await pool.fetchrow("SELECT * FROM api_keys")))
    assert key.secret not in stored
    assert key.secret.removeprefix(SECRET_PREFIX) not in stored


async def test_no_two_keys_are_alike(pool: Pool) -> None:
    keys = [await create_key(pool, partner="p", scopes=[Scope.OPS]) for _ in range(20)]
    assert len({key.secret for key in keys}) == len({key.id for key in keys}) == 20


async def test_states(pool: Pool) -> None:
    past, future = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=1)
    wanted = {
        (await create_key(pool, partner="a", scopes=[Scope.OPS])).id: "active",
        (await create_key(pool, partner="b", scopes=[Scope.OPS], expires_at=future)).id: "active",
        (await create_key(pool, partner="c", scopes=[Scope.OPS], expires_at=past)).id: "expired",
        (revoked := await create_key(pool, partner="d", scopes=[Scope.OPS], expires_at=past)).id: "revoked",
    }
    await revoke_key(pool, revoked.id)
    assert {key.id: key.state for key in await list_keys(pool)} == wanted


async def test_revoking_again_keeps_the_first_time_and_an_unknown_key_is_an_error(pool: Pool) -> None:
    key = await create_key(pool, partner="a", scopes=[Scope.OPS])
    first = await revoke_key(pool, key.id)
    assert await revoke_key(pool, key.id) == first
    with pytest.raises(KeyNotFound):
        await revoke_key(pool, "key_unknown")


async def test_every_scope_is_one_that_the_database_knows(pool: Pool) -> None:
    assert (await create_key(pool, partner="a", scopes=list(Scope))).scopes == tuple(Scope)


def test_any_header_can_be_hashed() -> None:
    assert hash_secret("abc") == hashlib.sha256(b"abc").digest()
    assert len(hash_secret("\udce9")) == 32


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("2w", NOW + timedelta(weeks=2)),
        ("2026-11-21", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2027-03-31", datetime(2027, 4, 1, tzinfo=UTC)),
    ],
)
def test_expiry(text: str, expires_at: datetime) -> None:
    assert parse_expiry(text, now=NOW) == expires_at


@pytest.mark.parametrize("text", ["2026-11-20", "0d", "90", "90y", "-1d", "tomorrow", "2026-13-01", "9999-12-31"])
def test_an_expiry_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_expiry(text, now=NOW)


def test_the_command_line(cli: Cli, database_url: str) -> None:
    scopes = ["--scope", "orders:write", "--scope", "orders:read"]
    created = cli("keys", "create", "--partner", "Acme [bold]", *scopes, "--expires", "90d", "--json")
    key = json.loads(created.out)
    assert key["scopes"] == ["orders:write", "orders:read"]

    async def find() -> asyncpg.Record:
        connection = await asyncpg.connect(database_url)
        try:
            return await queries("keys").find_by_hash(connection, secret_sha256=hash_secret(key["secret"]))
        finally:
            await connection.close()

    assert asyncio.run(find())["id"] == key["id"]
    plain = cli("keys", "create", "--partner", "B", "--scope", "ops")
    assert SECRET_PREFIX not in plain.err
    assert f"secret  {SECRET_PREFIX}" in plain.out

    listed = cli("keys", "list")
    assert "Acme [bold]" in listed.out
    assert SECRET_PREFIX not in listed.out
    assert cli("keys", "revoke", key["id"]).code == 0
    assert cli("keys", "revoke", key["id"]).code == 0
    states = {each["id"]: each["state"] for each in json.loads(cli("keys", "list", "--json").out)}
    assert states[key["id"]] == "revoked"
    assert sorted(states.values()) == ["active", "revoked"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["revoke", "key_unknown"], 1, "no API key has the id key_unknown"),
        (["create", "--partner", "A"], 2, "Missing option '--scope'"),
        (["create", "--partner", " ", "--scope", "ops"], 2, "at least 1 character"),
        (["create", "--partner", "A", "--scope", "root"], 2, "'root' is not one of"),
        (["create", "--partner", "A", "--scope", "ops", "--expires", "soon"], 2, "expected 90d"),
    ],
)
def test_wrong_commands_change_nothing(cli: Cli, arguments: list[str], code: int, told: str) -> None:
    ran = cli("keys", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert json.loads(cli("keys", "list", "--json").out) == []


def test_without_a_database_the_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_DATABASE_URL", "")
    ran = cli("keys", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "WAYBILL_DATABASE_URL" in ran.err
