"""Who may call: keys by HTTP Basic, `API-Authorization` or Bearer, and what each key may do."""

from __future__ import annotations

import base64
import hmac
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog
from aiohttp import hdrs, web
from cachetools import TTLCache
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from service.http.context import Handler
from service.keys import Scope, hash_secret
from service.wiring import borrow_connection
from sql import queries

log = structlog.get_logger()

# A revoked key must stop working within five seconds.
CACHE_S = 3.0
CACHED_KEYS = 10_000
# Less is how clocks are usually kept right.
SMALLEST_STEP_S = 0.5

CHALLENGE = 'Basic realm="Waybill", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the caller presented. `key_id` is None where the header has room for the secret only."""

    key_id: str | None
    secret: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key."""

    id: str
    partner: str
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None

    def usable(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def credentials_of(request: web.Request) -> Credentials | None:
    """Read the credentials, or return None where there are none that make sense."""
    raw = request.headers.get("API-Authorization", "").strip()
    if raw:
        return Credentials(None, raw)
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").strip().partition(" ")
    value = value.strip()
    if not value:
        return None
    if scheme.lower() == "bearer":
        return Credentials(None, value)
    if scheme.lower() == "basic":
        try:
            key_id, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:  # no base64, or no text within
            return None
        return Credentials(key_id, secret) if colon else None
    return None


class Authenticator:
    """Checks keys against the database, each at most once every `CACHE_S` seconds, and counts calls per key."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, acquire_timeout_s: float, rate_limit: str) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        # Only keys that exist are kept, so that guessing fills no memory.
        self._known: TTLCache[bytes, ApiKey] = TTLCache(maxsize=CACHED_KEYS, ttl=CACHE_S)
        self._limit: RateLimitItem | None = parse(rate_limit) if rate_limit else None
        self._calls = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._calls)
        self._clock_ahead_s = _wall_clock_ahead_s()

    async def authenticate(self, request: web.Request) -> ApiKey:
        """Return the caller's key. Raises 401, the same for every kind of wrong key."""
        credentials = credentials_of(request)
        if credentials is None:
            raise _unauthorized("An API key is required.")
        key = await self._find(hash_secret(credentials.secret))
        named_right = key is not None and (
            # Of hashes, which are all of one length.
            credentials.key_id is None or hmac.compare_digest(hash_secret(credentials.key_id), hash_secret(key.id))
        )
        if key is None or not named_right or not key.usable(datetime.now(UTC)):
            log.info("authentication_refused", key_id=key.id if key and named_right else None)
            raise _unauthorized("The API key is not valid.")
        return key

    async def check_rate(self, key: ApiKey) -> None:
        """Count a call of `key`. Raises 429 with the seconds to wait."""
        if self._limit is None:
            return
        await self._forget_the_future()
        if await self._limiter.hit(self._limit, key.id):
            return
        window = await self._limiter.get_window_stats(self._limit, key.id)
        wait_s = max(1, math.ceil(window.reset_time - time.time()))
        raise web.HTTPTooManyRequests(text="Too many requests.", headers={"Retry-After": str(wait_s)})

    async def _forget_the_future(self) -> None:
        # Calls are counted by the wall clock. Those of a time that it has been set back from would count until it comes
        # again, perhaps for hours.
        ahead_s, before_s = _wall_clock_ahead_s(), self._clock_ahead_s
        self._clock_ahead_s = ahead_s
        if ahead_s < before_s - SMALLEST_STEP_S:
            await self._calls.reset()

    async def _find(self, secret_sha256: bytes) -> ApiKey | None:
        # The comparison is the index's on a hash of the secret: its timing tells nothing about the secret.
        if (known := self._known.get(secret_sha256)) is not None:
            return known
        async with borrow_connection(self._pool, timeout_s=self._acquire_timeout_s) as connection:
            row = await queries("keys").find_by_hash(connection, secret_sha256=secret_sha256)
        if row is None:
            return None
        key = ApiKey(row["id"], row["partner"], frozenset(row["scopes"]), row["expires_at"], row["revoked_at"])
        self._known[secret_sha256] = key
        return key


AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
API_KEY = web.RequestKey("api_key", ApiKey)


def require_scope(scope: Scope, handler: Handler) -> Handler:
    """Let `handler` be called only with a key that has `scope`: 401, 429 or 403 otherwise."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        authenticator = request.app[AUTHENTICATOR]
        key = await authenticator.authenticate(request)
        structlog.contextvars.bind_contextvars(partner=key.partner, key_id=key.id)
        await authenticator.check_rate(key)
        if scope not in key.scopes:
            raise web.HTTPForbidden(text=f"The API key lacks the scope {scope}.")
        request[API_KEY] = key
        return await handler(request)

    return guarded


def _wall_clock_ahead_s() -> float:
    return time.time() - time.monotonic()


def _unauthorized(message: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=message, headers={hdrs.WWW_AUTHENTICATE: CHALLENGE})
