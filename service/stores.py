"""Stores and their settings."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from schemas.stores import StoreAnswer, StoreChanges
from sql import Connection, queries

Clearable = Literal["currency", "sender", "seller_address"]


async def list_stores(connection: Connection) -> list[StoreAnswer]:
    """Return all stores by code."""
    return [StoreAnswer(**row) async for row in queries("stores").list_all(connection)]


async def save_store(
    connection: Connection, changes: StoreChanges, *, cleared: Collection[Clearable] = ()
) -> StoreAnswer:
    """Change a store, or create it where the code is new; settings in `cleared` become unset. Return it as it is."""
    seller = changes.seller_address
    row = await queries("stores").save(
        connection,
        **changes.model_dump(exclude={"seller_address"}),
        seller_address=seller.model_dump(by_alias=True, exclude_none=True) if seller else None,
        cleared=list(cleared),
    )
    return StoreAnswer(**row)
