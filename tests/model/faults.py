"""Crashes at chosen points of a request: before, after or during a named query or a call of the payment provider.

A cut ends the connection at the server, as a restart of PostgreSQL would. A kill cancels the request's task, which
ends its work wherever it is, as the end of the process would. A hang-up is the client's.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import sql

# Whatever a request may run.
FILES = ("shipping", "creation", "orders", "stores", "outbox", "idempotency", "keys")


class Fault(Enum):
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    KILL_BEFORE = auto()
    KILL_DURING = auto()
    KILL_AFTER = auto()
    HANG_UP = auto()


@dataclass
class Plan:
    """What happens to one request: `fault` at its `at`th point, and a wait of `delays_ms` in front of each, in turn."""

    fault: Fault | None = None
    at: int = 0
    delays_ms: tuple[int, ...] = ()
    # Ends a server process by its id.
    terminate: Callable[[int], Awaitable[None]] | None = None
    server_task: asyncio.Task[Any] | None = None
    client_task: asyncio.Task[Any] | None = None
    passed: list[str] = field(default_factory=list)
    happened: bool = False

    @property
    def _is_here(self) -> bool:
        return self.fault is not None and len(self.passed) - 1 == self.at

    async def before(self, name: str, connection: Any) -> None:
        if self.delays_ms:
            await asyncio.sleep(self.delays_ms[len(self.passed) % len(self.delays_ms)] / 1000)
        self.passed.append(name)
        if not self._is_here:
            return
        if self.fault is Fault.CUT_BEFORE:
            await self._cut(connection)
        elif self.fault is Fault.KILL_BEFORE:
            await self._kill()
        elif self.fault is Fault.KILL_DURING:
            self.happened = True
            asyncio.get_running_loop().call_later(0.0005, self._task.cancel)
        elif self.fault is Fault.HANG_UP and self.client_task is not None:
            self.happened = True
            self.client_task.cancel()

    async def after(self, connection: Any) -> None:
        if not self._is_here:
            return
        if self.fault is Fault.CUT_AFTER:
            await self._cut(connection)
        elif self.fault is Fault.KILL_AFTER:
            await self._kill()

    async def _cut(self, connection: Any) -> None:
        if connection is None or self.terminate is None:
            return
        self.happened = True
        await self.terminate(connection.get_server_pid())

    async def _kill(self) -> None:
        self.happened = True
        self._task.cancel()
        await asyncio.sleep(0)

    @property
    def _task(self) -> asyncio.Task[Any]:
        assert self.server_task is not None
        return self.server_task


PLAN: ContextVar[Plan | None] = ContextVar("plan", default=None)


@asynccontextmanager
async def point(name: str, connection: Any = None) -> AsyncIterator[None]:
    """A place where the current request may be disturbed."""
    plan = PLAN.get()
    if plan is None:
        yield
        return
    await plan.before(name, connection)
    yield
    await plan.after(connection)


@contextmanager
def points_at_queries() -> Iterator[None]:
    """Make a point of every named query, for as long as the block lasts."""
    wrapped: list[tuple[Any, str]] = []
    try:
        for file in FILES:
            queries = sql.queries(file)
            for name in queries.available_queries:
                if not name.endswith("_cursor"):
                    setattr(queries, name, _with_point(f"{file}.{name}", getattr(queries, name)))
                    wrapped.append((queries, name))
        yield
    finally:
        for queries, name in wrapped:
            setattr(queries, name, getattr(queries, name).__wrapped__)


def _with_point(name: str, query: Any) -> Any:
    if inspect.isasyncgenfunction(query):

        async def rows(connection: Any, **arguments: Any) -> AsyncIterator[Any]:
            async with point(name, connection):
                found = [row async for row in query(connection, **arguments)]
            for row in found:
                yield row

        rows.__wrapped__ = query  # type: ignore[attr-defined]
        return rows

    async def one(connection: Any, **arguments: Any) -> Any:
        async with point(name, connection):
            return await query(connection, **arguments)

    one.__wrapped__ = query  # type: ignore[attr-defined]
    return one
