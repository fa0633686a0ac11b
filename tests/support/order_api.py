"""A caller of the Order API, who presents the key as real clients do, and the orders that its contracts speak of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.support.api import Answer, Api
from tests.support.rows import Line, OrderRow, insert_order

BASE = "/api/order-api"
LINES = (Line("43243", quantity=10), Line("43244", sku="B-2", name="Socks", quantity=5, unit_price=1950))
# Captures of one piece of each line, and the shipping cost that the first capture carries.
PIECE, SOCK, SHIPPING = 19900, 1950, 4900


@dataclass(frozen=True)
class Caller:
    api: Api

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **arguments: Any
    ) -> Answer:
        """Send `body` as JSON under the raw secret, as `application/json; charset=utf-8`."""
        sent = {"API-Authorization": self.api.key.secret} | (headers or {})
        if body is not None:
            arguments["data"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json; charset=utf-8")
        return await self.api.call(method, BASE + path, headers=sent, **arguments)

    async def ok(self, method: str, path: str, body: Any = None, **arguments: Any) -> Any:
        """Return the body of an answer that must be a success."""
        answer = await self.call(method, path, body, **arguments)
        assert (answer.status, answer.body["status"]) == (200, "ok"), answer
        return answer.body

    async def no(self, method: str, path: str, body: Any = None, **arguments: Any) -> str:
        """Return the message of a refusal."""
        answer = await self.call(method, path, body, **arguments)
        assert (answer.status, answer.body["status"]) == (200, "no"), answer
        return str(answer.body["msg"])

    async def create(self, products: dict[str, int], order: int = 83651, **fields: Any) -> Any:
        return await self.ok("POST", "/shipments", {"order": order, "products": products, **fields})

    async def complete(self, shipment: str = "83651-1", **fields: Any) -> Any:
        return await self.ok("PUT", "/shipment", {"shipment": shipment, **fields})


async def contract_order(
    pool: asyncpg.Pool[asyncpg.Record], number: str = "83651", authorization: str = "sandbox:ok", **columns: Any
) -> OrderRow:
    """Insert an order with the lines of the contract's examples."""
    return await insert_order(
        pool, number, lines=LINES, shipping_amount=SHIPPING, payment_authorization=authorization, **columns
    )
