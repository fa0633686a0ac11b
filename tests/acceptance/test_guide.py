"""The guide "Replace your endpoint" is true: its commands, one after the other, against real processes."""

from __future__ import annotations

import asyncio
import os
import re
import sysconfig
from collections.abc import Callable, Coroutine
from pathlib import Path

import asyncpg
import pypdfium2
import pytest

from service.http import order_api, order_api_reads
from service.keys import Scope, create_key
from service.settings import Settings
from tests.support.guides import Step, assert_as_shown, read_steps
from tests.support.processes import Processes, free_port

GUIDE = Path(__file__).parents[2] / "docs/replace-your-endpoint.md"
STEPS = read_steps(GUIDE)
COMMAND_TIMEOUT_S = 30

Run = Callable[[str], Coroutine[None, None, str]]


@pytest.fixture
async def run(settings: Settings, pool: asyncpg.Pool[asyncpg.Record], processes: Processes, tmp_path: Path) -> Run:
    """Runs commands of the guide with its variables set, in a folder of their own."""
    payments, port = free_port(), free_port()
    settings = Settings(
        database_url=settings.database_url,
        payment_url=f"http://127.0.0.1:{payments}",
        documents_secret="s" * 32,
    )
    processes.start("sandbox-provider", "--port", str(payments), "--data-dir", str(tmp_path / "provider"))
    api = processes.start("api", "--port", str(port), settings=settings)
    await api.wait_until_ready(f"http://127.0.0.1:{port}/readyz")
    key = await create_key(pool, partner="guide", scopes=list(Scope))
    variables = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "WAYBILL": f"http://127.0.0.1:{port}",
        "KEY_ID": key.id,
        "KEY": key.secret,
    }
    folder = tmp_path / "commands"
    folder.mkdir()

    async def run(commands: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", commands),
            cwd=folder,
            env=variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            printed, complaints = await process.communicate()
        assert process.returncode == 0, f"{commands}\n{complaints.decode()}"
        return printed.decode()

    return run


def sets_the_variables(step: Step) -> bool:
    return step.commands.startswith("export WAYBILL=")


@pytest.mark.timeout(300)  # some thirty commands after three processes have started
async def test_the_commands_print_what_the_guide_shows(run: Run, tmp_path: Path) -> None:
    for step in STEPS:
        if sets_the_variables(step):
            continue
        printed = await run(step.commands)
        try:
            assert_as_shown(printed, step.shown or "")
        except (AssertionError, ValueError) as error:
            pytest.fail(f"{GUIDE.name}, line {step.line}: {error}\n{step.commands}\nprinted:\n{printed}")
    assert len(pypdfium2.PdfDocument(tmp_path / "commands/invoice.pdf")) == 1


def test_every_answer_is_shown() -> None:
    assert [sets_the_variables(step) for step in STEPS].count(True) == 1
    assert all(step.shown for step in STEPS if not sets_the_variables(step))
    assert GUIDE.read_text().count("```sh\n") == len(STEPS)


def test_every_call_of_both_contracts_is_shown() -> None:
    commands = "\n".join(step.commands.replace("\\\n", " ") for step in STEPS)
    calls = [line for line in commands.splitlines() if "curl " in line and "$WAYBILL" in line]
    for edge in (order_api, order_api_reads):
        for route in edge.routes(""):
            path = re.escape(route.path.rstrip("/")).replace(r"\{shipment\}", "[0-9-]+")
            method = {"GET": "", "POST": "(-X POST)?"}.get(route.method, f"-X {route.method}")
            pattern = re.compile(rf'{method}.*\$WAYBILL/api/order-api{path}/?(\?[^"]*)?"')
            assert any(pattern.search(call) for call in calls), (route.method, route.path)
    for path in ("complete-shipment", "api-docs"):
        assert f"$WAYBILL/integration/api/shipping/v1/shipments/{path}" in commands
