"""Read pages of orders and of shipments, as the Order API lists them. Each page is as of one moment.

Reading gives records; `list_rows` makes rows of them. Apart, because that takes tens of milliseconds for a large page,
which is too long for the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from sql import Connection, queries

ShipmentListName = Literal["goodtogo", "inprogress", "completed"]


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list."""

    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A point in time. Without a time zone it is read on the clock of each order's store."""

    time: datetime | None = None

    @property
    def at(self) -> datetime | None:
        """The moment, if it is one."""
        return self.time if self.time and self.time.tzinfo else None

    @property
    def local(self) -> datetime | None:
        """The time on the store's clock, if it is one."""
        return self.time if self.time and not self.time.tzinfo else None


async def list_orders(
    connection: Connection, *, page: Page, order_number: str | None, newer_than: Bound, older_than: Bound
) -> list[asyncpg.Record]:
    """Return the records of orders, oldest first: placed at `newer_than` or later, and before `older_than`."""
    lists = queries("lists")
    bounds = {
        "newer_at": newer_than.at,
        "newer_local": newer_than.local,
        "older_at": older_than.at,
        "older_local": older_than.local,
        "limit": page.limit,
        "offset": page.offset,
    }
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = (
            lists.orders_page(connection, **bounds)
            if order_number is None
            else lists.order_page(connection, order_number=order_number, **bounds)
        )
        ids = [row["id"] async for row in found]
        return [row async for row in lists.orders_of_page(connection, ids=ids)] if ids else []


async def list_shipments(
    connection: Connection, *, page: Page, name: ShipmentListName, order_number: str | None
) -> list[asyncpg.Record]:
    """Return the records of shipments of one of the three lists, oldest first."""
    lists = queries("lists")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if order_number is not None:
            found = lists.shipments_of_order_page(
                connection, order_number=order_number, list=name, limit=page.limit, offset=page.offset
            )
        else:
            pick = {
                "goodtogo": lists.good_to_go_page,
                "inprogress": lists.in_progress_page,
                "completed": lists.completed_page,
            }[name]
            found = pick(connection, limit=page.limit, offset=page.offset)
        return await _shipments(connection, [row["id"] async for row in found])


async def find_shipment(connection: Connection, shipment_number: str) -> list[asyncpg.Record]:
    """Return the record of a shipment in any status, none where there is no such shipment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = queries("lists").shipment_page(connection, shipment_number=shipment_number)
        return await _shipments(connection, [row["id"] async for row in found])


async def _shipments(connection: Connection, ids: list[int]) -> list[asyncpg.Record]:
    return [row async for row in queries("lists").shipments_of_page(connection, ids=ids)] if ids else []
