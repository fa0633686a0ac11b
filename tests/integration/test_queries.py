"""Named queries of every kind, on what they are given: one connection, or a pool that lends them one."""

from __future__ import annotations

from typing import Any

import aiosql
import asyncpg
import pytest

from sql.adapter import Adapter

QUERIES: Any = aiosql.from_str(
    """
    -- name: numbers
    SELECT n FROM generate_series(:first::integer, :last::integer) n;

    -- name: number^
    SELECT n, 2 * n AS twice FROM generate_series(:first::integer, :last::integer) n;

    -- name: sum$
    SELECT sum(n) FROM generate_series(:first::integer, :last::integer) n;

    -- name: delete_stores!
    DELETE FROM stores WHERE code = :code;
    """,
    Adapter,
    mandatory_parameters=False,
)


@pytest.mark.parametrize("pooled", [False, True], ids=["connection", "pool"])
async def test_every_kind_of_query_answers_as_aiosql_says(pool: asyncpg.Pool, pooled: bool) -> None:
    async with pool.acquire() as connection:
        database = pool if pooled else connection
        assert [row["n"] async for row in QUERIES.numbers(database, last=3, first=1)] == [1, 2, 3]
        assert dict(await QUERIES.number(database, first=4, last=9)) == {"n": 4, "twice": 8}
        assert await QUERIES.number(database, first=1, last=0) is None
        assert await QUERIES.sum(database, first=1, last=3) == 6
        assert await QUERIES.sum(database, first=1, last=0) is None
        assert await QUERIES.delete_stores(database, code="none") == "DELETE 0"
