"""`waybill orders import` as an operator runs it: as a process, twice, at once, and interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest

from service.dev.demo.derive import ORDERS
from service.settings import Settings
from tests.support.locks import until_somebody_waits
from tests.support.orders import order_body
from tests.support.processes import Process, Processes

Pool = asyncpg.Pool


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two hundred orders; only the one in the middle is of the store "slow"."""
    bodies = [order_body({"orderNumber": f"o{n}", "store": "slow" if n == 100 else "se-web"}) for n in range(200)]
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


async def finished(process: Process) -> tuple[int, str]:
    code = await process.wait_for_exit(timeout_s=60)
    return code, process.output()


async def test_the_demo_orders(processes: Processes, settings: Settings, pool: Pool) -> None:
    for told in ("18 created, 0 updated, 0 unchanged, 0 rejected", "0 created, 0 updated, 18 unchanged, 0 rejected"):
        code, output = await finished(processes.start("orders", "import", str(ORDERS), settings=settings))
        assert code == 0, output
        assert f"18 orders in orders.jsonl: {told}" in output
    first = await pool.fetchrow("SELECT shipment_number, status FROM shipments ORDER BY shipment_number LIMIT 1")
    assert tuple(first) == ("100001-1", "RELEASED")
    assert await pool.fetchval("SELECT count(DISTINCT payment_authorization) FROM orders") == 18
    # Every shipment is told of, and every event waits for the relay.
    assert await pool.fetchval("SELECT count(*) FROM shipments WHERE event_sequence = 0") == 0
    assert await pool.fetchval("SELECT sum(event_sequence) FROM shipments") == await pool.fetchval(
        "SELECT count(*) FROM outbox"
    )


async def test_the_same_file_imported_twice_at_once(
    processes: Processes, settings: Settings, pool: Pool, file: Path
) -> None:
    imports = [processes.start("orders", "import", str(file), "--json", settings=settings) for _ in range(2)]
    ended = [await finished(process) for process in imports]
    assert [code for code, _ in ended] == [0, 0]
    summaries = [json.loads(output) for _, output in ended]
    assert sum(summary["created"] for summary in summaries) == 200
    assert sum(summary["unchanged"] for summary in summaries) == 200
    assert await pool.fetchval("SELECT count(*) FROM orders") == 200
    assert await pool.fetchval("SELECT count(*) FROM events") == 400


async def test_an_interrupted_import_leaves_whole_orders_and_is_finished_by_another(
    processes: Processes, settings: Settings, pool: Pool, file: Path
) -> None:
    await pool.execute("INSERT INTO stores (code, name) VALUES ('se-web', 'Butiken')")
    async with pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("INSERT INTO stores (code, name) VALUES ('slow', 'slow')")
        process = processes.start("orders", "import", str(file), settings=settings)
        await until_somebody_waits(pool)
        process.interrupt()
        code, output = await finished(process)
        await transaction.rollback()
    assert code == 1
    assert "interrupted. What is told above is done; run the same command again for the rest." in output
    assert "Traceback" not in output
    orders = await pool.fetchval("SELECT count(*) FROM orders")
    # Three others were under way beside the one that waits, and no more than a few are read ahead of it.
    assert 97 <= orders < 120
    assert await pool.fetchval("SELECT count(*) FROM order_lines") == 2 * orders
    assert await pool.fetchval("SELECT count(*) FROM events") == 2 * orders
    code, output = await finished(processes.start("orders", "import", str(file), "--json", settings=settings))
    assert code == 0
    assert json.loads(output)["created"] == 200 - orders
    assert json.loads(output)["unchanged"] == orders
