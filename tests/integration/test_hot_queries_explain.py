"""What a query costs does not grow with the tables, whenever its plan was made.

The plans are the server's own, with those of triggers and foreign keys, from connections as the service opens them.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

import sql
from service.settings import Settings
from service.wiring import open_pool
from tests.support.databases import Databases
from tests.support.hot_queries import EXEMPT, HOT
from tests.support.hot_queries.case import Hot
from tests.support.many_orders import insert_many_orders, insert_their_history
from tests.support.plans import Plan, PlanWatch, indexes, read_whole, rows_touched, watch_plans

Pool = asyncpg.Pool

NEARLY_EMPTY = 100
SMALL = 1_000
LARGE = 20_000
# By its own estimate the server plans anew five times before it may keep a plan.
RUNS = 7


@dataclass(frozen=True)
class Session:
    """A connection of the service, which stays open from one run to the next, and what tells of its plans."""

    connection: Any
    watch: PlanWatch


@asynccontextmanager
async def opened(url: str, *, by_statistics: bool = False) -> AsyncIterator[Session]:
    # Whoever says nothing goes by the indexes: relay and workers do not say it.
    how = {"plan_once": False} if by_statistics else {}
    async with (
        open_pool(Settings(database_url=url), name="tests", **how) as pool,
        pool.acquire() as connection,
        watch_plans(connection) as watch,
    ):
        yield Session(connection, watch)


async def fill(url: str, *, last: int, first: int = 1, analyze: bool = True) -> None:
    async with open_pool(Settings(database_url=url), name="tests") as pool:
        await insert_many_orders(pool, first=first, last=last)
        await insert_their_history(pool, first=first, last=last)
        if analyze:
            await pool.execute("ANALYZE")


def middle(orders: int) -> int:
    return orders // 2 // 200 * 200


async def run(session: Session, case: Hot, at: int) -> list[Plan]:
    """Run the query in a transaction that is rolled back; return its plans."""
    connection = session.connection
    transaction = connection.transaction()
    await transaction.start()
    try:
        if case.before:
            await connection.execute(case.before.format(at=at))
        await session.watch.taken()
        await call(connection, case.query, case.parameters(at))
        return await session.watch.taken()
    finally:
        await transaction.rollback()


async def call(connection: Any, query: str, parameters: dict[str, Any]) -> None:
    file, name = query.split(".")
    function = getattr(sql.queries(file), name)
    if inspect.isasyncgenfunction(function):
        async for _ in function(connection, **parameters):
            pass
    else:
        await function(connection, **parameters)


async def plans_of(url: str, cases: Sequence[Hot], at: int) -> dict[str, list[Plan]]:
    """Return the plans that the queries settle for, by case."""
    found = {}
    async with AsyncExitStack() as stack:
        sessions = {
            each: await stack.enter_async_context(opened(url, by_statistics=each))
            for each in {case.by_statistics for case in cases}
        }
        for case in cases:
            for _ in range(RUNS if case.by_statistics else 2):
                found[str(case)] = await run(sessions[case.by_statistics], case, at)
    return found


def growing(case: Hot, few: Iterable[Plan], many: Iterable[Plan]) -> list[str]:
    """Say what is wrong with how a query goes about many rows, beside how it does with few."""
    wrong = []
    if missing := case.indexes - indexes(many):
        wrong.append(f"does not go by {', '.join(sorted(missing))}")
    if whole := read_whole(many) - case.walks - case.whole:
        wrong.append(f"reads the whole of {', '.join(sorted(whole))}")
    # Plans differ in what they remember and sort; twenty times the rows would show.
    if not case.answers_more and rows_touched(many) > 1.3 * rows_touched(few) + 10:
        wrong.append(f"touches {rows_touched(many)} rows instead of {rows_touched(few)}")
    return [f"{case}: {each}" for each in wrong]


def test_every_named_query_is_checked_or_exempt() -> None:
    named = {
        f"{path.stem}.{name}"
        for path in sql.QUERIES.glob("*.sql")
        for name in sql.queries(path.stem).available_queries
        if not name.endswith("_cursor")
    }
    checked = {case.query for case in HOT}
    exempt = {name for names in EXEMPT.values() for name in names.split()}
    assert len(HOT) == len({str(case) for case in HOT})
    assert not checked & exempt
    assert not (unknown := sorted(named - checked - exempt)), (
        f"give {unknown} their parameters and indexes in tests/support/hot_queries, or say under EXEMPT there why they"
        " may cost more in large tables"
    )
    assert not (gone := sorted((checked | exempt) - named)), f"take {gone} out of tests/support/hot_queries"


@pytest.mark.parametrize("first", [0, NEARLY_EMPTY])
async def test_no_query_costs_more_with_twenty_times_the_rows(databases: Databases, first: int) -> None:
    """Neither by a plan that was made while there were no orders or a few, nor by one that is made now."""
    kept = [case for case in HOT if not case.by_statistics]
    with databases.fresh() as small, databases.fresh() as grown:
        await fill(small, last=SMALL)
        few = await plans_of(small, HOT, middle(SMALL))
        if first:
            await fill(grown, last=first)
        async with opened(grown) as session:
            for case in kept:
                # Where nothing is yet, some have nothing to refer to; they are planned by then.
                with suppress(asyncpg.IntegrityConstraintViolationError):
                    await run(session, case, 0)
            # By another connection, and without ANALYZE: the plans of the first one stay.
            await fill(grown, first=first + 1, last=LARGE, analyze=False)
            old = {str(case): await run(session, case, middle(LARGE)) for case in kept}
            await session.connection.execute("ANALYZE")
        new = await plans_of(grown, HOT, middle(LARGE))
    assert not [wrong for case in kept for wrong in growing(case, few[str(case)], old[str(case)])]
    assert not [wrong for case in HOT for wrong in growing(case, few[str(case)], new[str(case)])]


async def test_the_server_left_to_itself_keeps_reading_grown_tables_whole(database_url: str) -> None:
    """Without what `open_pool` tells it: the trouble that it spares, and a proof that these tests would see it."""
    [case] = [case for case in HOT if case.query == "shipping.lock_shipment"]
    await fill(database_url, last=NEARLY_EMPTY)
    async with opened(database_url, by_statistics=True) as session:
        await session.connection.execute("SET plan_cache_mode = force_generic_plan")
        small = await run(session, case, 0)
        await fill(database_url, first=NEARLY_EMPTY + 1, last=SMALL, analyze=False)
        grown = await run(session, case, middle(SMALL))
    assert "shipments" in read_whole(grown)
    assert rows_touched(grown) > 5 * rows_touched(small)
    assert len(growing(case, small, grown)) == 3
