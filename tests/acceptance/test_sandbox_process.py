"""The sandbox provider as its own process: what it told anybody is true whenever and however it dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.dev.sandbox_provider import LEDGER_FILE
from service.payments.provider import Captured, Declined, OutcomeUnknown
from service.payments.sandbox import SandboxProvider
from tests.support.payment_contract import find_under_way
from tests.support.processes import Process, Processes

CLIENTS = 8
TOLD_BEFORE_THE_KILL = 40


async def start(processes: Processes, data_dir: Path, *arguments: str) -> tuple[Process, str]:
    process = processes.start("sandbox-provider", "--port", "0", "--data-dir", str(data_dir), *arguments)
    line = await process.wait_for_line("sandbox_provider_started")
    return process, json.loads(line)["url"]


@asynccontextmanager
async def provider_at(url: str) -> AsyncIterator[SandboxProvider]:
    async with aiohttp.ClientSession() as session:
        yield SandboxProvider(url, session)


async def capture(provider: SandboxProvider, key: str) -> Captured | Declined:
    # Every fifth is declined: those promises must hold as well.
    authorization = "sandbox:decline" if int(key.rpartition(":")[2]) % 5 == 0 else "sandbox:ok"
    return await provider.capture(
        authorization=authorization, amount=100, currency="SEK", idempotency_key=key, final=True
    )


async def ledger_of(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/ledger") as response:
        rows: list[dict[str, Any]] = await response.json()
        return rows


async def test_killed_amid_captures_it_keeps_every_promise(processes: Processes, tmp_path: Path) -> None:
    told: dict[str, Captured | Declined] = {}
    unknown: set[str] = set()
    for life in range(3):
        process, url = await start(processes, tmp_path)
        enough = asyncio.Event()
        told_in_this_life = 0

        async def keep_capturing(provider: SandboxProvider, client: int, *, life: int, enough: asyncio.Event) -> None:
            nonlocal told_in_this_life
            for number in range(100_000):
                key = f"{life}:{client}:{number}"
                try:
                    told[key] = await capture(provider, key)
                except OutcomeUnknown:
                    unknown.add(key)
                    return
                told_in_this_life += 1
                if told_in_this_life >= TOLD_BEFORE_THE_KILL:
                    enough.set()

        async with provider_at(url) as provider, asyncio.TaskGroup() as clients:
            for client in range(CLIENTS):
                clients.create_task(keep_capturing(provider, client, life=life, enough=enough))
            await enough.wait()
            process.kill()
        await process.wait_for_exit()

    assert len(unknown) == 3 * CLIENTS
    _, url = await start(processes, tmp_path)
    async with provider_at(url) as provider:
        for key, result in told.items():
            assert await provider.find(key, authorization="sandbox:ok") == result
        for key in unknown:
            found = await provider.find(key, authorization="sandbox:ok")
            repeated = await capture(provider, key)
            assert found in {None, repeated}
            told[key] = repeated
        for key, result in told.items():
            assert await capture(provider, key) == result
    money = {key: result.reference for key, result in told.items() if isinstance(result, Captured)}
    rows = await ledger_of(url)
    assert {row["idempotency_key"]: row["id"] for row in rows} == money
    assert len(rows) == len(money)
    assert len((tmp_path / LEDGER_FILE).read_text().splitlines()) == len(told)


async def test_a_kill_during_a_slow_capture_leaves_the_key_unused(processes: Processes, tmp_path: Path) -> None:
    process, url = await start(processes, tmp_path)
    async with provider_at(url) as provider:
        slow = asyncio.create_task(capture_slowly(provider))
        await find_under_way(provider, "k", "sandbox:slow:60000")
        process.kill()
        with pytest.raises(OutcomeUnknown):
            await slow
    await process.wait_for_exit()
    _, url = await start(processes, tmp_path)
    async with provider_at(url) as provider:
        assert await provider.find("k", authorization="sandbox:ok") is None
    assert await ledger_of(url) == []


async def capture_slowly(provider: SandboxProvider) -> Captured | Declined:
    return await provider.capture(
        authorization="sandbox:slow:60000", amount=100, currency="SEK", idempotency_key="k", final=True
    )


@pytest.mark.parametrize("how", ["terminate", "interrupt"])
async def test_asked_to_stop_it_stops_though_requests_are_open(processes: Processes, tmp_path: Path, how: str) -> None:
    process, url = await start(processes, tmp_path)
    async with provider_at(url) as provider:
        slow = asyncio.create_task(capture_slowly(provider))
        await find_under_way(provider, "k", "sandbox:slow:60000")
        getattr(process, how)()
        with pytest.raises(OutcomeUnknown):
            await slow
    assert await process.wait_for_exit() == 0
    assert "sandbox_provider_stopped" in process.output()
    assert "Traceback" not in process.output()


async def test_a_port_or_ledger_that_is_taken_is_said_in_one_line(processes: Processes, tmp_path: Path) -> None:
    _, url = await start(processes, tmp_path / "a")
    for arguments, complaint in (
        (("--port", url.rpartition(":")[2], "--data-dir", str(tmp_path / "b")), "address already in use"),
        (("--port", "0", "--data-dir", str(tmp_path / "a")), "in use by another process"),
    ):
        second = processes.start("sandbox-provider", *arguments)
        assert await second.wait_for_exit() == 1
        assert complaint in second.output()
        assert len(second.output().splitlines()) == 1
