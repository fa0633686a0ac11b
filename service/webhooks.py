"""Webhook endpoints, as operators handle them. Sending is the worker's."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp.abc import AbstractResolver

import sql
from consumers.webhooks.answer import Answer
from consumers.webhooks.client import Client
from consumers.webhooks.due import signing_keys
from consumers.webhooks.message import sample_message
from consumers.webhooks.reach import Reach
from consumers.webhooks.signature import new_secret, show_secret
from consumers.webhooks.target import check_target, parse_target
from schemas.events import EventType
from service.wiring import PooledConnection


class EndpointNotFound(Exception):
    """No endpoint has this id."""


class DeliveriesWait(Exception):
    """The endpoint has deliveries that would be lost with it; the argument is their number."""


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint just added, one of the two times that its secret is shown. `unknown_stores` have no order yet."""

    id: str
    secret: str
    unknown_stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stored endpoint. `event_types` and `stores` are None for all."""

    id: str
    partner: str
    url: str
    event_types: list[str] | None
    stores: list[str] | None
    created_at: datetime
    failing_since: datetime | None
    not_before: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    # While the secret before the last rotation is still signed with.
    rotating_until: datetime | None
    waiting: int
    failed: int

    @property
    def state(self) -> str:
        """Return disabled, failing or active."""
        return "disabled" if self.disabled_at else "failing" if self.failing_since else "active"


async def add_endpoint(
    connection: PooledConnection,
    *,
    partner: str,
    url: str,
    event_types: Sequence[EventType],
    stores: Sequence[str],
    reach: Reach,
    resolver: AbstractResolver,
) -> NewEndpoint:
    """Store a new endpoint; no types or stores mean all. Raises `UnusableUrl`."""
    target = parse_target(url)
    await check_target(target, reach=reach, resolver=resolver)
    secret = new_secret()
    endpoint_id = f"whe_{secrets.token_hex(6)}"
    await sql.queries("webhooks").add_endpoint(
        connection,
        id=endpoint_id,
        partner=partner,
        url=str(target),
        event_types=list(dict.fromkeys(event_types)) or None,
        stores=list(dict.fromkeys(stores)) or None,
        secret=secret,
    )
    unknown = await sql.queries("webhooks").unknown_stores(connection, stores=list(stores))
    return NewEndpoint(endpoint_id, show_secret(secret), tuple(unknown or ()))


async def list_endpoints(connection: PooledConnection) -> list[Endpoint]:
    """Return every endpoint, by partner."""
    return [Endpoint(**row) async for row in sql.queries("webhooks").list_endpoints(connection)]


async def remove_endpoint(connection: PooledConnection, endpoint_id: str, *, discard: bool) -> int:
    """Remove an endpoint with its history; return how many waiting deliveries went with it.

    Raises `EndpointNotFound`, and `DeliveriesWait` unless they may be discarded.
    """
    queries = sql.queries("webhooks")
    async with connection.transaction():
        waiting: int = await queries.count_waiting(connection, endpoint_id=endpoint_id)
        if waiting and not discard:
            raise DeliveriesWait(waiting)
        await queries.remove_deliveries(connection, endpoint_id=endpoint_id)
        if not await queries.remove_endpoint(connection, id=endpoint_id):
            raise EndpointNotFound(endpoint_id)
    return waiting


async def rotate_secret(connection: PooledConnection, endpoint_id: str, *, overlap: timedelta) -> str:
    """Give an endpoint a new secret and return it; the old one is signed with as well for `overlap`.

    Raises `EndpointNotFound`.
    """
    secret = new_secret()
    rotated = await sql.queries("webhooks").rotate_secret(
        connection, id=endpoint_id, secret=secret, overlap_s=overlap.total_seconds()
    )
    if not rotated:
        raise EndpointNotFound(endpoint_id)
    return show_secret(secret)


async def enable_endpoint(connection: PooledConnection, endpoint_id: str, *, discard: bool) -> int:
    """Enable an endpoint; return how many deliveries have waited for it.

    They are sent now, or discarded if that is wanted. Raises `EndpointNotFound`.
    """
    queries = sql.queries("webhooks")
    async with connection.transaction():
        if discard:
            waited: int = await queries.discard_waiting(connection, endpoint_id=endpoint_id)
        else:
            waited = await queries.count_waiting(connection, endpoint_id=endpoint_id)
        if not await queries.enable_endpoint(connection, id=endpoint_id):
            raise EndpointNotFound(endpoint_id)
    return waited


async def disable_endpoint(connection: PooledConnection, endpoint_id: str, *, reason: str) -> str:
    """Disable an endpoint and return the reason it is disabled for, which is the first. Raises `EndpointNotFound`."""
    stands: str | None = await sql.queries("webhooks").disable_endpoint(connection, id=endpoint_id, reason=reason)
    if stands is None:
        raise EndpointNotFound(endpoint_id)
    return stands


async def try_endpoint(connection: PooledConnection, endpoint_id: str, *, client: Client) -> Answer:
    """Send a signed `waybill.test` now and return how it ended; nothing is written down. Raises `EndpointNotFound`."""
    endpoint = await sql.queries("webhooks").find_endpoint(connection, id=endpoint_id)
    if endpoint is None:
        raise EndpointNotFound(endpoint_id)
    return await client.send(
        endpoint["url"], sample_message(signing_keys(endpoint["secret"], endpoint["previous_secret"]))
    )
