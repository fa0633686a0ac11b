"""The model finds faults: each of these is put into the service, and must be noticed within a few lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiosql
import pytest
from aiohttp import web

import sql
from service.payments.provider import Captured, Declined, OutcomeUnknown, PaymentProvider
from tests.model.machine import live
from tests.model.rig import open_rig

# A failing life is tried again, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

LIVES = 25
STEPS = 100


@contextmanager
def edited(file: str, text: str, replacement: str) -> Iterator[None]:
    """Let the queries of a file be others, for as long as the block lasts."""
    content = (sql.QUERIES / f"{file}.sql").read_text()
    assert text in content, f"{file}.sql has changed; say again what is to be broken"
    queries = sql.queries(file)
    wrong = aiosql.from_str(content.replace(text, replacement), "asyncpg", kwargs_only=True, mandatory_parameters=False)
    right = {name: getattr(queries, name) for name in queries.available_queries}
    for name in right:
        setattr(queries, name, getattr(wrong, name))
    try:
        yield
    finally:
        for name, query in right.items():
            setattr(queries, name, query)


@dataclass
class Adapter:
    """Hands on to the provider."""

    provider: PaymentProvider

    async def capture(self, **request: Any) -> Captured | Declined:
        return await self.provider.capture(**request)

    async def find(self, idempotency_key: str, **more: Any) -> Captured | Declined | None:
        return await self.provider.find(idempotency_key, **more)


class Guessing(Adapter):
    async def capture(self, **request: Any) -> Captured | Declined:
        try:
            return await super().capture(**request)
        except OutcomeUnknown:
            return Declined("no answer is no")


class NewKeyEachTime(Adapter):
    _numbers = count()

    async def capture(self, **request: Any) -> Captured | Declined:
        key = f"{request.pop('idempotency_key')}:{next(self._numbers)}"
        return await super().capture(idempotency_key=key, **request)


def hasty() -> Any:
    """Tell a caller 409 as soon as somebody else is at it."""
    busy: Counter[str] = Counter()

    @web.middleware
    async def answer(request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.endswith("complete-shipment"):
            return await handler(request)
        number = (await request.json())["shipmentNumber"]
        if busy[number]:
            return web.json_response({"error": f"Shipment already completed: {number}"}, status=409)
        busy[number] += 1
        try:
            return await handler(request)
        finally:
            busy[number] -= 1

    return answer


EDITS = {
    "no lock": ("shipping", "FOR UPDATE OF o, s", ""),
    "the shipping cost each time": (
        "shipping",
        "CASE WHEN o.shipping_reserved THEN 0 ELSE o.shipping_amount END",
        "o.shipping_amount",
    ),
    "an event that nobody publishes": ("outbox", "INSERT INTO outbox (event_id) SELECT id FROM event", "SELECT"),
    "a refused creation keeps its pieces": (
        "creation",
        "DELETE FROM shipment_lines WHERE shipment_id = :shipment_id)",
        "DELETE FROM shipment_lines WHERE shipment_id = :shipment_id AND false)",
    ),
    "a key for any request": ("idempotency", "request_sha256 = :request_sha256 AS same", "true AS same"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_query_that_does_something_else(database_url: str, name: str) -> None:
    with edited(*EDITS[name]):
        notice(database_url)


@pytest.mark.parametrize("adapter", [Guessing, NewKeyEachTime])
def test_money_that_is_asked_for_carelessly(database_url: str, adapter: type[Adapter]) -> None:
    notice(database_url, adapter=adapter)


def test_a_409_that_is_not_true_yet(database_url: str) -> None:
    notice(database_url, middlewares=[hasty()])


def notice(database_url: str, **different: Any) -> None:
    with open_rig(database_url, **different) as rig:
        for seed in range(LIVES):
            try:
                live(rig, seed, steps=STEPS)
            except AssertionError:
                return
    pytest.fail(f"not noticed in {LIVES} lives")
