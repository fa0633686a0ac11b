"""The database's contents: made in sets by the server itself, and looked at between measurements."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiosql
import asyncpg

from bench.size import FOLDER
from service.commands.migrate import apply_migrations
from service.keys import Scope, create_key

FILL = aiosql.from_path(FOLDER / "sql" / "fill.sql", "asyncpg", mandatory_parameters=False)
LOOK = aiosql.from_path(FOLDER / "sql" / "look.sql", "asyncpg", mandatory_parameters=False)
# So many shipments are one transaction of the loading.
PIECE = 200_000
SLOW_FROM = 100_000

T = TypeVar("T")


class TooFew(Exception):
    """A measurement was quicker than anybody thought and ran out of shipments."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Orders `first` to `last` with one shipment `<number>-1` each, all for one measurement."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


class Database:
    """One migrated database. Every method opens a connection of its own, so nothing stays open while it is measured."""

    def __init__(self, url: str) -> None:
        self.url = url

    def look(self, query: str, **arguments: object) -> Any:  # noqa: ANN401 - what the query returns
        """Run one query of look.sql."""

        async def run(connection: asyncpg.Connection[asyncpg.Record]) -> object:
            running = getattr(LOOK, query)(connection, **arguments)
            return [row async for row in running] if hasattr(running, "__aiter__") else await running

        return self._run(run)

    def settle(self) -> None:
        """Leave nothing to do from what was loaded: statistics, visibility, a checkpoint."""
        self.look("vacuum_analyze")
        self.look("checkpoint")

    def create_key(self) -> tuple[str, str]:
        """Create an API key that may do everything; return its id and secret."""

        async def run(connection: asyncpg.Connection[asyncpg.Record]) -> tuple[str, str]:
            key = await create_key(connection, partner="bench", scopes=list(Scope))
            return key.id, key.secret

        return self._run(run)

    def add_released(self, count: int, *, captured: bool, authorization: str = "sandbox:ok") -> Numbers:
        """Add shipments that may be completed; `captured`: their money is taken already."""
        return self._add(count, shipments=True, left=False, paid=captured, authorization=authorization)

    def add_unshipped_orders(self, count: int) -> Numbers:
        """Add orders without a shipment."""
        return self._add(count, shipments=False, left=False, paid=False)

    def add_shipped(self, count: int) -> Numbers:
        """Add shipments that have left, with three events each."""
        return self._add(count, shipments=True, left=True, paid=True)

    def _add(
        self, count: int, *, shipments: bool, left: bool, paid: bool, authorization: str = "sandbox:ok"
    ) -> Numbers:
        began = time.monotonic()
        first = None
        for done in range(0, count, PIECE):
            piece = self._add_piece(
                min(PIECE, count - done), shipments=shipments, left=left, paid=paid, authorization=authorization
            )
            first = first or piece.first
            if count >= SLOW_FROM:
                say(f"  {done + piece.count:,} of {count:,} shipments loaded in {time.monotonic() - began:.0f} s")
        return Numbers(first or 0, (first or 0) + count - 1)

    def _add_piece(self, count: int, *, shipments: bool, left: bool, paid: bool, authorization: str) -> Numbers:
        async def run(connection: asyncpg.Connection[asyncpg.Record]) -> Numbers:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await FILL.add_store(connection)
                first = await FILL.next_number(connection)
                span = {"first": first, "last": first + count - 1}
                state = {"is_left": left, "is_allocated": shipments}
                await FILL.add_orders(connection, **span, **state, is_paid=paid, payment_authorization=authorization)
                await FILL.add_order_lines(connection, **span, is_allocated=shipments)
                if shipments:
                    await FILL.add_shipments(connection, **span, is_left=left)
                    await FILL.add_shipment_lines(connection, **span)
                if paid:
                    await FILL.add_captures(connection, **span)
                if left:
                    await FILL.add_parcels(connection, **span)
                    await FILL.add_events(connection, **span)
                await FILL.advance_sequences(connection, last=span["last"])
            return Numbers(span["first"], span["last"])

        return self._run(run)

    def _run(self, use: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[T]]) -> T:
        async def connected() -> T:
            connection = await asyncpg.connect(self.url)
            try:
                return await use(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())


def make_database(admin_url: str, name: str, *, scale: int) -> Database:
    """Create a database with the migrations applied and `scale` shipments that have left in it."""

    async def create() -> None:
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    asyncio.run(create())
    database = Database(urlsplit(admin_url)._replace(path=f"/{name}").geturl())
    if apply_migrations(database.url):
        raise RuntimeError("the migrations failed")
    database.add_shipped(scale)
    database.settle()
    return database


def say(line: str) -> None:
    """Tell whoever waits what is going on."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
