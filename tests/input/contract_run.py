"""Runs schemathesis against a running service, with numbers that exist, and reads its report."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from service.http.api_docs import ApiDocument
from tests.support.api import Api
from tests.support.orders import order_body

_CONFIG = Path(__file__).with_name("contracts.toml")
_HOOKS = Path(__file__).with_name("contract_hooks.py")
_ROOT = Path(__file__).parents[2]
_STATUSES = ("RELEASED", "INVENTORY_ASSIGNED", "AWAITING_INVENTORY", "ONHOLD")


@dataclass(frozen=True)
class Verdict:
    """What the tool found about one document. `accepted`: how many requests had success, by operation."""

    title: str
    seed: int
    cases: int
    seconds: float
    failures: list[dict[str, Any]]
    phases: dict[str, str]
    accepted: dict[str, int]
    complete: bool
    output: str

    def __str__(self) -> str:
        return (
            f"{self.title}: {self.cases} cases, {len(self.failures)} failures, {self.seconds:.0f} s, seed {self.seed}"
        )


@dataclass(frozen=True)
class Numbers:
    """Numbers that exist. The payments of `declined` shipments will be refused."""

    orders: list[str]
    shipments: list[str]
    declined: list[str]


async def seed_orders(api: Api, pool: asyncpg.Pool[Any], count: int) -> Numbers:
    """Send in `count` orders with shipments in every status; the orders of the documents' examples are among them."""
    numbers = ["83651", "5", *(str(200_001 + n) for n in range(count))]
    for n, number in enumerate(numbers):
        answer = await api.call("PUT", f"/integration/api/orders/v1/orders/{number}", json=_order(number, n))
        assert answer.status == 201, answer
    # Some have left, some are paid and some are removed.
    for number in numbers[2::7]:
        await api.complete(f"{number}-1")
    for number in numbers[3::7]:
        await api.call("PUT", "/api/order-api/capture", json={"shipment": f"{number}-1"})
    for number in numbers[4::7]:
        await api.call("DELETE", f"/api/order-api/shipments/{number}-4")
    rows = await pool.fetch(
        "SELECT shipment_number, payment_authorization LIKE '%decline%' AS declined FROM shipments"
        " JOIN orders ON orders.id = order_id ORDER BY shipments.id"
    )
    return Numbers(
        orders=numbers,
        shipments=[row["shipment_number"] for row in rows if not row["declined"]],
        declined=[row["shipment_number"] for row in rows if row["declined"]],
    )


async def hold_against(
    document: ApiDocument,
    *,
    api: Api,
    orders: Iterable[str],
    shipments: Iterable[str],
    folder: Path,
    seed: int,
    cases_each: int,
    checks: str = "all",
) -> Verdict:
    """Run all phases of the tool with up to `cases_each` random cases for each operation."""
    await asyncio.to_thread(_prepare, folder, orders=orders, shipments=shipments)
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        str(Path(sysconfig.get_path("scripts")) / "st"),
        "--config-file", _CONFIG.name, "run", api.url + document.path,
        "--checks", checks, "--seed", str(seed), "--max-examples", str(cases_each), "--no-color",
        "--report", "json", "--report-json-path", str(report),
        # The hooks are modules of the tests.
        cwd=folder, env={**os.environ, "PYTHONPATH": str(_ROOT),
                         "CONTRACT_KEY_ID": api.key.id, "CONTRACT_KEY_SECRET": api.key.secret},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    found = json.loads(await asyncio.to_thread(report.read_text))
    return Verdict(
        title=document.title,
        seed=found["seed"],
        cases=found["test_cases"]["generated"],
        seconds=found["running_time"],
        failures=found["failures"] + found["errors"],
        phases={name: phase["status"] for name, phase in found["phases"].items()},
        accepted={
            operation: sum(rate["accepted"] for rate in rates.values())
            for operation, rates in found["valid_rates"].items()
        },
        complete=found["complete"],
        output=_readable(output.decode(errors="replace")),
    )


def _prepare(folder: Path, *, orders: Iterable[str], shipments: Iterable[str]) -> None:
    folder.mkdir()
    for each in (_CONFIG, _HOOKS):
        shutil.copy(each, folder)
    orders = list(orders)
    # To send in: some that are known, and many that are not yet.
    numbers_to_send = [*orders[:20], *(f"N-{n}" for n in range(400))]
    for name, numbers in (("orders", orders), ("shipments", shipments), ("numbers", numbers_to_send)):
        (folder / f"{name}.dict").write_text("".join(f'"{number}"\n' for number in numbers))


def _order(number: str, n: int) -> dict[str, Any]:
    # The contract's examples have an order 5 whose capture is refused.
    declined = number == "5" or n % 10 == 9
    quantities = {"43243": 1, "43244": 1}
    lines = [{**line, "quantity": 1000} for line in order_body()["lines"]]
    return order_body(
        {
            "orderNumber": number,
            "lines": lines,
            "payment.authorization": f"sandbox:{'decline' if declined else 'ok'}#{number}",
            "shipments": [{"status": status, "lines": quantities} for status in _STATUSES],
        }
    )


def _readable(output: str) -> str:
    """Cut lines: a curl command may hold a megabyte."""
    return "\n".join(line if len(line) <= 600 else f"{line[:600]} …" for line in output.splitlines())
