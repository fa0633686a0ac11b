"""Bulk requests to real API processes that are killed or stopped in the middle of one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest

from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.api import Api
from tests.support.bulk import (
    bulk,
    complete_many,
    counted,
    insert_paid,
    insert_unpaid,
    next_result,
    rows_of,
    shipped_and_told,
)
from tests.support.processes import Process, Processes, free_port
from tests.support.sandbox import Sandbox

Pool = asyncpg.Pool


@asynccontextmanager
async def open_api(settings: Settings, pool: Pool, processes: Processes) -> AsyncIterator[tuple[Process, Api]]:
    port = free_port()
    process = processes.start("api", "--port", str(port), settings=settings)
    key = await create_key(pool, partner="acceptance", scopes=list(Scope))
    async with aiohttp.ClientSession() as session:
        api = Api(f"http://127.0.0.1:{port}", key, session)
        await process.wait_until_ready(f"{api.url}/readyz")
        yield process, api


async def insert_mixed(pool: Pool, count: int, *, unpaid_every: int, authorization: str) -> tuple[list[str], list[str]]:
    """Insert released shipments; return all numbers, and those whose money is still to be taken."""
    numbers = [f"{n}-1" for n in range(count)]
    unpaid = numbers[::unpaid_every]

    async def insert(part: list[str]) -> None:
        for number in part:
            if number in unpaid:
                await insert_unpaid(pool, number[:-2], authorization)
            else:
                await insert_paid(pool, number[:-2])

    await asyncio.gather(*(insert(numbers[part::8]) for part in range(8)))
    return numbers, unpaid


@pytest.mark.parametrize("told_before", [1, 600, 1905])
async def test_what_a_killed_process_left_is_done_by_the_same_request_again(
    api_settings: Settings, pool: Pool, processes: Processes, sandbox: Sandbox, told_before: int
) -> None:
    numbers, unpaid = await insert_mixed(pool, 2000, unpaid_every=20, authorization="sandbox:slow:50")
    rows = rows_of(*numbers)
    told: dict[int, Any] = {}

    async def read(response: aiohttp.ClientResponse, process: Process) -> None:
        while line := await response.content.readline():
            result = json.loads(line)
            told[result["row"]] = result
            if len(told) == told_before:
                process.kill()

    async with open_api(api_settings, pool, processes) as (process, api), bulk(api, rows) as response:
        with pytest.raises(aiohttp.ClientError):
            await read(response, process)
    assert told_before <= len(told) < len(rows)
    assert {result["status"] for result in told.values()} == {200}
    # Whatever was told had happened, and nothing has stopped half way.
    left = await shipped_and_told(pool)
    assert {result["shipmentNumber"] for result in told.values()} <= set(left)

    async with open_api(api_settings, pool, processes) as (_, api):
        results = await complete_many(api, rows)
        assert counted(results) == {409: len(left), 200: len(rows) - len(left)}
        assert {result["shipmentNumber"] for result in results if result["status"] == 409} == set(left)
    assert await shipped_and_told(pool) == sorted(numbers)
    keys = Counter(entry["idempotency_key"] for entry in sandbox.ledger())
    assert keys == {f"shipment:{number}:capture:1": 1 for number in unpaid}
    assert await pool.fetchval("SELECT count(*) FROM captures WHERE state <> 'CAPTURED'") == 0


async def test_a_process_that_is_told_to_stop_answers_every_row(
    api_settings: Settings, pool: Pool, processes: Processes, sandbox: Sandbox
) -> None:
    numbers, unpaid = await insert_mixed(pool, 400, unpaid_every=10, authorization="sandbox:slow:500")
    async with open_api(api_settings, pool, processes) as (process, api), bulk(api, rows_of(*numbers)) as response:
        results = [await next_result(response)]
        process.terminate()
        while line := await response.content.readline():
            results.append(json.loads(line))
        assert await process.wait_for_exit() == 0
    assert sorted(result["row"] for result in results) == list(range(1, 401))
    assert counted(results).keys() == {200, 503}
    assert {result.get("retryAfter") for result in results if result["status"] == 503} == {5}
    done = sorted(result["shipmentNumber"] for result in results if result["status"] == 200)
    assert await shipped_and_told(pool) == done

    async with open_api(api_settings, pool, processes) as (_, api):
        assert counted(await complete_many(api, rows_of(*numbers))) == {409: len(done), 200: 400 - len(done)}
    assert await shipped_and_told(pool) == sorted(numbers)
    assert Counter(entry["idempotency_key"] for entry in sandbox.ledger()) == {
        f"shipment:{number}:capture:1": 1 for number in unpaid
    }
