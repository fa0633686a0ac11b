"""The plans that the server really went by: of every statement of a connection, and of its triggers and foreign keys.

They come from the server's own auto_explain, so that it makes no difference who runs a statement or how: a plan is the
one that the connection had cached.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

Plan: TypeAlias = dict[str, Any]

# What is bounded by the number of shops and partners. Every other table grows with what is sold.
FEW_ROWS = frozenset({"api_keys", "schema_migrations", "stores", "webhook_endpoints"})

_TELL = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_format = json;
SET auto_explain.log_level = notice;
"""

_FIRST_COLUMNS = """
SELECT c.relname, a.attname
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = 1
"""


class PlanWatch:
    """Collects the plans of a connection's statements, in the order in which they end."""

    def __init__(self, connection: Connection, first_columns: dict[str, str]) -> None:
        self._connection = connection
        self._first_columns = first_columns
        self._plans: list[Plan] = []

    def note(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        """Take a plan out of what the server tells."""
        text = str(message.message)
        if text.startswith("duration:"):
            told = json.loads(text[text.index("{") :])
            plan = told["Plan"]
            for node in nodes(plan):
                node["First Column"] = self._first_columns.get(node.get("Index Name", ""))
            self._plans.append(plan)

    async def taken(self) -> list[Plan]:
        """Return the plans since the last time."""
        # The server tells of a query when the next one takes its place, and the driver in the next round of the loop.
        await self._connection.execute("SHOW auto_explain.log_analyze")
        await asyncio.sleep(0)
        plans, self._plans = self._plans, []
        return plans


@asynccontextmanager
async def watch_plans(connection: Connection) -> AsyncIterator[PlanWatch]:
    """Let the server tell how it goes about each statement of the connection. Takes a superuser."""
    watch = PlanWatch(connection, dict(await connection.fetch(_FIRST_COLUMNS)))
    await connection.execute(_TELL)
    connection.add_log_listener(watch.note)
    try:
        yield watch
    finally:
        await connection.execute("SET auto_explain.log_min_duration = -1")
        connection.remove_log_listener(watch.note)


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield every node of a plan."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def indexes(plans: Iterable[Plan]) -> set[str]:
    """Return the indexes that the plans go by."""
    return {node["Index Name"] for plan in plans for node in nodes(plan) if "Index Name" in node}


def read_whole(plans: Iterable[Plan]) -> set[str]:
    """Return the tables that grow and are read from the one end to the other, and such indexes, wherever that stops."""
    return {
        node.get("Index Name") or node["Relation Name"]
        for plan in plans
        for node in nodes(plan)
        # A bitmap index scan does not name its table.
        if node.get("Relation Name") not in FEW_ROWS
        and (node["Node Type"] == "Seq Scan" or ("Index Name" in node and not _is_looked_up(node)))
    }


def _is_looked_up(node: Plan) -> bool:
    # A condition on a later column alone is checked against every entry, and no row tells of that.
    return f"({node['First Column']} " in node.get("Index Cond", "").replace('"', "")


def rows_touched(plans: Iterable[Plan]) -> int:
    """Count the rows that passed through the plans' nodes or were thrown away there."""
    return sum(
        round((node["Actual Rows"] + sum(node.get(removed, 0) for removed in _REMOVED)) * node["Actual Loops"])
        for plan in plans
        for node in nodes(plan)
        # Alone below its heap scan, it counts what that one counts.
        if not (node["Node Type"] == "Bitmap Index Scan" and node["Parent Relationship"] == "Outer")
    )


_REMOVED = ("Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
