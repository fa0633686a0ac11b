"""With ten thousand orders the lists read what they answer with and little more, whichever plan the server prefers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from typing import Any

import asyncpg
import pytest

from schemas.order_api_queries import MAX_LIMIT
from sql import queries
from tests.support.many_orders import insert_many_orders, placed_at

Pool = asyncpg.Pool
Plan = dict[str, Any]

PAGE = 20
BIG_TABLES = {"orders", "order_lines", "shipments", "shipment_lines", "parcels", "captures"}
NO_BOUNDS = {"newer_at": None, "newer_local": None, "older_at": None, "older_local": None}
FIRST_PAGE = {"limit": PAGE, "offset": 0}

# Query, its parameters, the index that picks the page, and how many rows the answer may cost.
PAGES: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "orders": ("orders_page", NO_BOUNDS | FIRST_PAGE, "orders_by_time", 3 * PAGE),
    "orders at an offset": (
        "orders_page",
        NO_BOUNDS | FIRST_PAGE | {"offset": 100},
        "orders_by_time",
        3 * (PAGE + 100),
    ),
    "newer than a moment": (
        "orders_page",
        NO_BOUNDS | FIRST_PAGE | {"newer_at": placed_at(9_000)},
        "orders_by_time",
        3 * PAGE,
    ),
    "between two moments": (
        "orders_page",
        NO_BOUNDS | FIRST_PAGE | {"newer_at": placed_at(5_000), "older_at": placed_at(5_010)},
        "orders_by_time",
        3 * PAGE,
    ),
    # The stores' clocks are six hours apart: that many orders of the one store are passed over, and no more.
    "newer than a local time": (
        "orders_page",
        NO_BOUNDS | FIRST_PAGE | {"newer_local": placed_at(9_000).replace(tzinfo=None)},
        "orders_by_time",
        2 * 6 * 60 + 3 * PAGE,
    ),
    "one order": ("order_page", NO_BOUNDS | FIRST_PAGE | {"order_number": "105000"}, "orders_order_number_key", PAGE),
    "good to go": ("good_to_go_page", FIRST_PAGE, "shipments_good_to_go", 3 * PAGE),
    "in progress": ("in_progress_page", FIRST_PAGE, "shipments_in_progress", 2 * PAGE),
    "completed": ("completed_page", FIRST_PAGE, "shipments_shipped", 2 * PAGE),
    "an order's shipments": (
        "shipments_of_order_page",
        FIRST_PAGE | {"order_number": "105001", "list": "completed"},
        "shipments_order_id_n_key",
        PAGE,
    ),
    "one shipment": ("shipment_page", {"shipment_number": "105001-1"}, "shipments_shipment_number_key", PAGE),
}

# The ids' table, the query, and how many rows each row of the answer may cost.
FILLINGS = [
    # Of an order: itself, two lines, its shipment for the row and for the comment, a parcel.
    ("orders", "orders_of_page", 7),
    # Of a shipment: itself, its order, two pieces and their lines, two parcels, a capture.
    ("shipments", "shipments_of_page", 10),
]


@pytest.fixture
async def many(pool: Pool) -> Pool:
    await insert_many_orders(pool)
    return pool


async def explain(connection: Any, name: str, parameters: dict[str, Any], *, mode: str) -> Plan:
    """Run the named query as the server does for a prepared statement, with a `custom` or a `generic` plan."""
    lists = queries("lists")
    statement = getattr(lists, name).sql.rstrip().removesuffix(";")
    values = ", ".join(literal(parameters[each]) for each in lists.driver_adapter.var_sorted[name])
    await connection.execute(f"SET plan_cache_mode = force_{mode}_plan")
    await connection.execute(f"PREPARE listed AS {statement}")
    try:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed ({values})")
    finally:
        await connection.execute("DEALLOCATE listed; RESET plan_cache_mode")
    plan: Plan = json.loads(rows[0][0])[0]["Plan"]
    return plan


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(str, value))}]::bigint[]"
    return f"'{value}'" if isinstance(value, str | datetime) else str(value)


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_read(plan: Plan) -> int:
    """Count the rows that its scans of tables have looked at."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name") in BIG_TABLES
    )


def scanned(plan: Plan) -> set[str]:
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"} & BIG_TABLES


def indexes(plan: Plan) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


async def test_a_page_is_picked_by_its_index(many: Pool) -> None:
    async with many.acquire() as connection:
        for case, (name, parameters, index, most_rows) in PAGES.items():
            for mode in ("custom", "generic"):
                plan = await explain(connection, name, parameters, mode=mode)
                assert index in indexes(plan), (case, mode)
                assert not scanned(plan), (case, mode)
                assert plan["Actual Rows"] > 0, (case, mode)
                assert rows_read(plan) <= most_rows, (case, mode)


async def test_a_page_is_filled_in_by_keys(many: Pool) -> None:
    async with many.acquire() as connection:
        for (table, name, most_rows), size in product(FILLINGS, (PAGE, MAX_LIMIT)):
            ids = await many.fetchval(
                f"SELECT array_agg(id) FROM (SELECT id FROM {table} ORDER BY id LIMIT {size} OFFSET 500)"
            )
            for mode in ("custom", "generic"):
                plan = await explain(connection, name, {"ids": ids}, mode=mode)
                assert plan["Actual Rows"] == size, (name, size, mode)
                assert not scanned(plan), (name, size, mode)
                assert rows_read(plan) <= most_rows * size, (name, size, mode)
