"""Bulk requests whose rows have to wait: nobody else does, and whoever is told nothing any more begins nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.http import bulk_answer
from service.settings import Settings
from tests.input.raw_http import request
from tests.support.api import Api, serve_api
from tests.support.bulk import (
    COMPLETE_MANY,
    LINES,
    bulk,
    complete_many,
    counted,
    insert_paid,
    insert_unpaid,
    next_result,
    rows_of,
    shipped_and_told,
    statuses,
    written,
)
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

Pool = asyncpg.Pool


@asynccontextmanager
async def held(pool: Pool, *numbers: str) -> AsyncIterator[asyncpg.Connection]:
    """Lock shipments, as somebody else's payment does, until the block ends."""
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM shipments WHERE shipment_number = ANY($1) FOR UPDATE", list(numbers))
        yield holder


async def waiting(pool: Pool, wait_event: str = "transactionid") -> int:
    return await pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1", wait_event
    )


async def until_logged(logs: list[Any], event: str) -> None:
    async def is_logged() -> bool:
        return any(line["event"] == event for line in logs)

    await until(is_logged)


async def until_waiting(pool: Pool, count: int, wait_event: str = "transactionid") -> None:
    async def so_many_wait() -> bool:
        return await waiting(pool, wait_event) == count

    await until(so_many_wait)


async def test_a_result_comes_before_those_that_have_to_wait(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    await insert_paid(pool, "held")
    await insert_paid(pool, "quick")
    await insert_unpaid(pool, "money")
    async with held(pool, "held-1"), bulk(api, rows_of("held-1", "quick-1", "money-1", "none")) as response:
        first = sorted([await next_result(response) for _ in range(3)], key=lambda result: int(result["row"]))
        assert [(result["row"], result["status"]) for result in first] == [(2, 200), (3, 200), (4, 404)]
        # What was told is committed, whatever the others wait for.
        assert await shipped_and_told(pool) == ["money-1", "quick-1"]
        await until_waiting(pool, 1)
        assert await pool.fetchval("SELECT status FROM shipments WHERE shipment_number = 'held-1'") == "RELEASED"


async def test_a_row_that_is_held_ships_once_it_is_free(api: Api, pool: Pool) -> None:
    await insert_paid(pool, "held")
    async with held(pool, "held-1"):
        call = asyncio.create_task(complete_many(api, rows_of("held-1", "held-1")))
        await until_waiting(pool, 1)
    assert statuses(await call) == [200, 409]


async def test_a_row_that_stays_held_is_503_and_the_others_ship(api_settings: Settings, pool: Pool) -> None:
    for order in ("held", "1", "2"):
        await insert_paid(pool, order)
    async with (
        serve_api(api_settings.model_copy(update={"lock_timeout_s": 0.2}), pool) as api,
        held(pool, "held-1"),
    ):
        results = await complete_many(api, rows_of("1-1", "held-1", "2-1"))
    assert statuses(results) == [200, 503, 200]
    assert results[1]["retryAfter"] == 5
    assert await shipped_and_told(pool) == ["1-1", "2-1"]


async def test_rows_that_wait_leave_connections_to_single_calls_and_to_other_sets(
    api_settings: Settings, pool: Pool, sandbox: Sandbox
) -> None:
    numbers = [f"held{n}-1" for n in range(8)]
    for number in numbers:
        await insert_unpaid(pool, number[:-2])
    await insert_unpaid(pool, "1")
    await insert_paid(pool, "2")
    settings = api_settings.model_copy(update={"payment_pool_size": 6, "database_acquire_timeout_s": 1})
    async with serve_api(settings, pool) as api:
        async with held(pool, *numbers):
            waiters = [asyncio.create_task(complete_many(api, rows_of(*numbers[part::2]))) for part in (0, 1)]
            # Half of the connections, but for one that is kept for sets.
            await until_waiting(pool, 2)
            assert statuses(await complete_many(api, rows_of("2-1", "none"))) == [200, 404]
            assert (await api.complete("1-1")).status == 200
            assert await waiting(pool) == 2
            # Longer than anybody may wait for a connection: the bound is no deadline.
            await asyncio.sleep(1.2)
        assert [counted(await waiter) for waiter in waiters] == [{200: 4}] * 2
    assert len(sandbox.ledger()) == 9


async def test_slow_payments_are_taken_side_by_side(api: Api, pool: Pool, sandbox: Sandbox) -> None:
    numbers = [f"slow{n}-1" for n in range(4)]
    for number in numbers:
        await insert_unpaid(pool, number[:-2], "sandbox:slow:1500")
    call = asyncio.create_task(complete_many(api, rows_of(*numbers)))

    async def all_under_way() -> bool:
        return all(sandbox.running.captures.is_accepted(f"shipment:{number}:capture:1") for number in numbers)

    await until(all_under_way)
    assert counted(await call) == {200: 4}
    assert len(sandbox.ledger()) == 4


async def test_rows_are_503_while_no_connection_can_be_had(api_settings: Settings, pool: Pool) -> None:
    await insert_paid(pool, "held")
    await insert_paid(pool, "1")
    settings = api_settings.model_copy(update={"payment_pool_size": 1, "database_acquire_timeout_s": 0.2})
    async with serve_api(settings, pool) as api:
        async with held(pool, "held-1"):
            single = asyncio.create_task(api.complete("held-1"))
            await until_waiting(pool, 1)
            results = await complete_many(api, rows_of("1-1", "none"))
            assert [(result["status"], result["retryAfter"]) for result in results] == [(503, 5)] * 2
        assert (await single).status == 200
        assert statuses(await complete_many(api, rows_of("1-1", "none"))) == [200, 404]


async def test_a_connection_lost_in_the_middle_ships_nothing_of_its_set_and_the_repeat_does(
    api: Api, pool: Pool
) -> None:
    numbers = [f"{n}-1" for n in range(30)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
        call = asyncio.create_task(complete_many(api, rows_of(*numbers)))
        await until_waiting(pool, 1, "relation")
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'relation'"
        )
        assert counted(await call) == {503: 30}
    assert await shipped_and_told(pool) == []
    assert counted(await complete_many(api, rows_of(*numbers))) == {200: 30}
    assert await shipped_and_told(pool) == sorted(numbers)


# Callers that leave


async def test_who_hangs_up_has_no_further_row_begun(api_settings: Settings, pool: Pool, sandbox: Sandbox) -> None:
    numbers = [f"{n}-1" for n in range(5)]
    for number in numbers:
        await insert_paid(pool, number[:-2])
    # One connection, so one row at a time.
    async with serve_api(api_settings.model_copy(update={"payment_pool_size": 2}), pool) as api:
        with capture_logs() as logs:
            async with held(pool, *numbers):
                async with bulk(api, rows_of(*numbers)):
                    await until_waiting(pool, 1)
                assert await waiting(pool) == 1
            await until_logged(logs, "request_finished")
        # What was under way has come to its end, and what it has shipped is told as it is.
        assert await shipped_and_told(pool) == ["0-1"]
        assert counted(await complete_many(api, rows_of(*numbers))) == {409: 1, 200: 4}


async def test_who_reads_nothing_has_left(api: Api, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_answer, "WRITE_TIMEOUT_S", 0.3)
    # Answers that no buffer on the way can hold.
    body, _ = written(rows_of(*(f"{n}-{'x' * 700}" for n in range(5000))), lines=True)
    parts = urlsplit(api.url)
    with socket.socket() as deaf, capture_logs() as logs:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (parts.hostname, parts.port))
        await loop.sock_sendall(deaf, request(api, body, f"Content-Type: {LINES}", path=COMPLETE_MANY))
        await until_logged(logs, "request_finished")
    assert [line["cause"] for line in logs if line["event"] == "caller_left"] == ["TimeoutError()"]


async def test_a_caller_who_is_slow_is_waited_for(api: Api, pool: Pool) -> None:
    rows = rows_of(*(f"{n}-{'x' * 400}" for n in range(3000)))
    results = 0
    async with bulk(api, rows) as response:
        while line := await response.content.readline():
            results += json.loads(line)["status"] == 404
            if results % 500 == 0:
                await asyncio.sleep(0.02)
    assert results == len(rows)
