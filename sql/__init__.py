"""The database side of Waybill: migrations, applied by dbmate, and named queries, loaded by aiosql."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import aiosql
import asyncpg

from sql.adapter import Adapter

MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).parent / "queries"

# A string, because asyncpg's classes are generic for the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@cache
def queries(name: str) -> Any:  # noqa: ANN401 - aiosql makes the functions while it loads the file
    """Return the named queries of `sql/queries/<name>.sql`, one coroutine function each.

    Every function takes an asyncpg connection first and the query's `:parameters` as keywords.
    """
    return aiosql.from_path(QUERIES / f"{name}.sql", Adapter, kwargs_only=True, mandatory_parameters=False)
