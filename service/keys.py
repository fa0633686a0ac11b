"""API keys. Only the SHA-256 of a secret is stored; the secret itself is seen once, by whoever creates the key."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sql
from sql import Connection

# Recognisable, so that a secret scanner can find one that leaked.
SECRET_PREFIX = "waybill_sk_"  # noqa: S105 - the prefix, not a secret


class Scope(StrEnum):
    """What a key may do."""

    COMPLETE_SHIPMENTS = "shipments:complete"
    WRITE_SHIPMENTS = "shipments:write"
    READ_SHIPMENTS = "shipments:read"
    WRITE_ORDERS = "orders:write"
    READ_ORDERS = "orders:read"
    OPS = "ops"


class KeyNotFound(Exception):
    """No API key has this id."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just created, the only time that its secret is known."""

    id: str
    secret: str
    partner: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key. `state` is active, expired or revoked, by the database's clock."""

    id: str
    partner: str
    scopes: tuple[Scope, ...]
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def hash_secret(secret: str) -> bytes:
    """Return what the database keeps of a secret. Any text can be hashed, also a header that is no valid UTF-8."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


async def create_key(
    connection: Connection, *, partner: str, scopes: Sequence[Scope], expires_at: datetime | None = None
) -> NewKey:
    """Store a new key and return it with its secret."""
    key = NewKey(
        id=f"key_{secrets.token_hex(6)}",
        secret=SECRET_PREFIX + secrets.token_urlsafe(32),
        partner=partner,
        scopes=tuple(dict.fromkeys(scopes)),
        expires_at=expires_at,
    )
    await sql.queries("keys").create(
        connection,
        id=key.id,
        secret_sha256=hash_secret(key.secret),
        partner=key.partner,
        scopes=list(key.scopes),
        expires_at=key.expires_at,
    )
    return key


async def list_keys(connection: Connection) -> list[Key]:
    """Return every key, newest first."""
    return [
        Key(**{**row, "scopes": tuple(Scope(scope) for scope in row["scopes"])})
        async for row in sql.queries("keys").list_all(connection)
    ]


async def revoke_key(connection: Connection, key_id: str) -> datetime:
    """Revoke a key and return when it was revoked first. Raise `KeyNotFound`."""
    revoked_at: datetime | None = await sql.queries("keys").revoke(connection, id=key_id)
    if revoked_at is None:
        raise KeyNotFound(key_id)
    return revoked_at
