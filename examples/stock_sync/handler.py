"""Takes what has left the warehouse off the stock, once per shipment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import aiosql
import asyncpg

from consumers.delivery import Delivery
from consumers.inbox import Connection
from consumers.outcome import Done, Handled, Rejected, Skipped, TryLater
from schemas.events import EventType

STOCK: Any = aiosql.from_path(
    Path(__file__).with_name("stock.sql"), "asyncpg", kwargs_only=True, mandatory_parameters=False
)

_TYPE = EventType.SHIPMENT_SHIPPED.contract_name


async def take_off_stock(connection: Connection, delivery: Delivery) -> Done:
    """Handle `order-shipment-shipped`: take the shipment's pieces off the stock, all or none."""
    event = delivery.event
    if event.event_type.name != _TYPE:
        raise Rejected(f"expected {_TYPE}")
    pieces: Counter[str] = Counter()
    for line in event.data.lines:
        pieces[line.sku] += line.quantity
    try:
        articles = {row["sku"]: row["on_hand"] async for row in STOCK.lock_articles(connection, skus=list(pieces))}
    except asyncpg.LockNotAvailableError:
        raise TryLater("the articles are being counted") from None
    if unknown := pieces.keys() - articles:
        raise Rejected(f"no such article: {', '.join(sorted(unknown))}")
    kept = [sku for sku in articles if articles[sku] is not None]
    if not kept:
        return Skipped("none of its articles is kept in stock")
    await STOCK.take_off(connection, skus=kept, quantities=[pieces[sku] for sku in kept])
    return Handled()
