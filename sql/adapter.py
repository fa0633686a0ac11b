"""How named queries reach asyncpg."""

# ruff: noqa: ANN401 - signatures are aiosql's, which passes on whatever it gets

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from aiosql.adapters.asyncpg import AsyncPGAdapter


class Adapter(AsyncPGAdapter):
    """aiosql's own, without its question before every statement whether it has a connection or a pool.

    It answers that by listing all attributes, which takes a quarter of a statement's time here. Both have the methods.
    """

    async def select(
        self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Callable[..., Any] | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the rows."""
        for row in await conn.fetch(sql, *self._values(query_name, parameters)):
            yield row

    async def select_one(
        self, conn: Any, query_name: str, sql: str, parameters: Any, record_class: Callable[..., Any] | None = None
    ) -> Any:
        """Return the first row or None."""
        return await conn.fetchrow(sql, *self._values(query_name, parameters))

    async def select_value(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        """Return the first row's first value or None."""
        return await conn.fetchval(sql, *self._values(query_name, parameters))

    async def insert_update_delete(self, conn: Any, query_name: str, sql: str, parameters: Any) -> Any:
        """Return the command's tag."""
        return await conn.execute(sql, *self._values(query_name, parameters))

    def _values(self, query_name: str, parameters: Any) -> Any:
        return self.maybe_order_params(query_name, parameters)  # type: ignore[no-untyped-call]
