"""Whatever schemathesis makes of the OpenAPI documents, the service answers as they say.

In `make test` some hundreds of cases against the API in the test's process; `WAYBILL_FAULTS_FULL=1` (`make faults`)
more than ten thousand against two real worker processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from service.http.api_docs import documents
from service.settings import Settings
from tests.faults.report import FULL
from tests.input.contract_run import Verdict, hold_against, seed_orders
from tests.support.api import Api, serve_api
from tests.support.processes import Processes, free_port
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool
DOCUMENTS = documents("/api/order-api")
SEED = 20261121
# Random cases for each operation: in `make test` and in `make faults`.
CASES_EACH = {"Shipment Completion API": (60, 2000), "Order API": (8, 300), "Order intake": (20, 600)}


@pytest.fixture
async def service(
    database_settings: Settings, pool: Pool, sandbox: Sandbox, processes: Processes
) -> AsyncIterator[Api]:
    """The API in this process, or in two worker processes."""
    settings = Settings(database_url=database_settings.database_url, payment_url=sandbox.url, documents_secret="s" * 32)
    async with serve_api(settings, pool) as api:
        if not FULL:
            yield api
            return
        port = free_port()
        process = processes.start("api", "--port", str(port), "--workers", "2", settings=settings)
        started = replace(api, url=f"http://127.0.0.1:{port}")
        await process.wait_until_ready(f"{started.url}/readyz")
        yield started


@pytest.mark.timeout(7200 if FULL else 600)
async def test_the_service_answers_as_its_documents_say(service: Api, pool: Pool, tmp_path: Path) -> None:
    numbers = await seed_orders(service, pool, 200 if FULL else 40)
    verdicts: list[Verdict] = []
    for document in DOCUMENTS:
        verdict = await hold_against(
            document,
            api=service,
            orders=numbers.orders,
            # The Shipment Completion API's contract answers a refused capture with 500.
            shipments=numbers.shipments + (numbers.declined if "Order API" in document.title else []),
            folder=tmp_path / document.title,
            seed=SEED,
            cases_each=CASES_EACH[document.title][FULL],
        )
        print(verdict)  # noqa: T201 - the seed and the number of cases, for `-s` and for reports of failures
        verdicts.append(verdict)
    for verdict in verdicts:
        assert not verdict.failures, f"{verdict}\n{verdict.output}"
        assert verdict.complete, verdict.output
        # A run in which everything is refused shows little.
        assert all(verdict.accepted.values()), verdict.accepted
    assert sum(verdict.cases for verdict in verdicts) >= (10_000 if FULL else 500)
