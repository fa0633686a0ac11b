"""What is secret is compared as hashes of one length, and every wrong key goes the same way. Nothing here is timed."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import itsdangerous.signer
import pytest

import sql
from service.documents.content import DocumentKind
from service.documents.links import LinkInvalid, document_url, verify
from service.http import authentication
from service.keys import Scope, create_key, hash_secret
from tests.support.api import Api

Pool = asyncpg.Pool
PATH = "/api/order-api/orders"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Everything that is compared in constant time."""
    seen: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def note(one: Any, other: Any) -> bool:
        seen.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", note)
    return seen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the database was asked for."""
    seen: list[bytes] = []
    queries = sql.queries("keys")
    find = queries.find_by_hash

    async def note(connection: Any, *, secret_sha256: bytes) -> Any:
        seen.append(secret_sha256)
        return await find(connection, secret_sha256=secret_sha256)

    monkeypatch.setattr(queries, "find_by_hash", note)
    return seen


async def test_every_wrong_key_goes_the_same_way(
    api: Api, pool: Pool, asked: list[bytes], compared: list[tuple[Any, Any]]
) -> None:
    revoked = await create_key(pool, partner="revoked", scopes=list(Scope))
    await pool.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", revoked.id)
    late = datetime.now(UTC) - timedelta(days=1)
    expired = await create_key(pool, partner="expired", scopes=list(Scope), expires_at=late)
    key = api.key
    wrong = {
        "unknown id, wrong secret": (f"{key.id[:-1]}x", "waybill_sk_wrong"),
        "known id, wrong secret": (key.id, "waybill_sk_wrong2"),
        "known id, nearly the secret": (key.id, key.secret[:-1] + ("a" if key.secret[-1] != "a" else "b")),
        "unknown id, right secret": ("key_000000000000", key.secret),
        "a part of the id": (key.id[:-1], key.secret),
        "somebody else's id": (revoked.id, key.secret),
        "no id": ("", key.secret),
        "revoked": (revoked.id, revoked.secret),
        "expired": (expired.id, expired.secret),
        "not ASCII": ("k\u00e9y", "s\u00e9cret"),
    }
    answers = set()
    for what, (key_id, secret) in wrong.items():
        before = len(asked)
        credentials = aiohttp.encode_basic_auth(key_id, secret, encoding="utf-8")
        answer = await api.call("GET", PATH, headers={"Authorization": credentials})
        answers.add((answer.status, str(answer.body), answer.headers["WWW-Authenticate"]))
        # By the hash of the secret alone, whatever the id: nothing is looked up by the id.
        assert asked[before:] in ([hash_secret(secret)], []), what
    assert len(answers) == 1
    [(status, _, _)] = answers
    assert status == 401
    assert set(asked) >= {hash_secret(secret) for _, secret in wrong.values()}
    assert compared
    assert all(type(one) is type(other) is bytes and len(one) == len(other) == 32 for one, other in compared)


async def test_only_hashes_of_secrets_are_kept(api: Api, pool: Pool) -> None:
    row = await pool.fetchrow("SELECT * FROM api_keys WHERE id = $1", api.key.id)
    assert row["secret_sha256"] == hash_secret(api.key.secret)
    assert api.key.secret not in str(dict(row))
    assert (await api.call("GET", PATH)).status == 200
    assert api.key.secret not in repr(vars(authentication))


def test_signatures_of_links_are_compared_in_constant_time(compared: list[tuple[Any, Any]]) -> None:
    # The library that compares them does so by this function, which the fixture watches.
    assert itsdangerous.signer.hmac is hmac
    now, secret = datetime.now(UTC), "s" * 32
    link = document_url("https://x.example", [secret], kind=DocumentKind.INVOICE, shipment_number="100001-1", now=now)
    token = link.partition("token=")[2]
    for tried, opens in ((token, True), (token[:-2] + "AA", False), ("x" * len(token), False), ("", False)):
        try:
            verify(
                tried,
                [secret],
                kind=DocumentKind.INVOICE,
                shipment_number="100001-1",
                now=now,
                max_age=timedelta(days=1),
            )
        except LinkInvalid:
            assert not opens
        else:
            assert opens
    assert compared
    # One is ours, of one length always; the other is what was sent.
    assert all(32 in {len(one), len(other)} for one, other in compared)
