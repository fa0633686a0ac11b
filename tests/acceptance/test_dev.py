"""`waybill dev` as a newcomer meets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from consumers.registry import CONSUMERS
from service.settings import Settings
from tests.support.processes import Process, Processes, environment, free_port
from tests.support.waiting import until


async def start(processes: Processes, *options: str, env: dict[str, str] | None = None) -> Process:
    return processes.start("dev", *options, env={"COLUMNS": "80", **(env or {})})


async def told_by(process: Process, data_dir: Path) -> dict[str, Any]:
    """Return dev.json once the stack says that it is ready."""
    await process.wait_for_line("Ctrl-C stops everything", timeout_s=120)
    told: dict[str, Any] = json.loads((data_dir / "dev.json").read_text())
    return told


def lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not, and nobody knows when its parent will reap it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def paste(process: Process) -> tuple[str, str]:
    """Run the curl line that the stack has printed; return the answer's status and body."""
    line = await process.wait_for_line("curl ")
    curl = await asyncio.create_subprocess_shell(f"{line} --silent", stdout=asyncio.subprocess.PIPE)
    answer, _ = await curl.communicate()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head.split()[1], body


async def mails(told: dict[str, Any]) -> list[dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(f"{told['inbox_url']}/messages") as response:
        listed: list[dict[str, str]] = await response.json()
        return listed


@pytest.mark.timeout(300)  # starts everything twice, which takes some 25 s on two idle cores
async def test_a_first_completion_survives_a_killed_supervisor(processes: Processes, tmp_path: Path) -> None:
    data_dir = tmp_path / "data of a newcomer"  # a path with spaces in it
    options = ("--data-dir", str(data_dir), "--port", str(free_port()), "--workers", "2")

    first = await start(processes, *options)
    told = await told_by(first, data_dir)
    status, body = await paste(first)
    assert (status, json.loads(body)["status"]) == ("200", "SHIPPED")
    shipment = json.loads(body)["shipmentNumber"]
    await until(lambda: mails(told))
    status, body = await paste(first)
    assert (status, json.loads(body)) == ("409", {"error": f"Shipment already completed: {shipment}"})

    second = await start(processes, *options)
    assert await second.wait_for_exit() == 1
    assert f"already runs on {data_dir} (process {told['pids']['dev']})" in second.output()
    other = await start(processes, "--data-dir", str(tmp_path / "other"), *options[2:])
    assert await other.wait_for_exit() == 1
    assert "choose another with --port" in other.output()

    first.kill()
    await first.wait_for_exit()
    third = await start(processes, *options)
    again = await told_by(third, data_dir)
    assert "Ended what an earlier run had left behind" in third.output()
    assert not any(map(lives, told["pids"].values()))
    for kept in ("api_key", "database_url", "amqp_url", "inbox_url"):
        assert again[kept] == told[kept]
    assert [shipment.split("-")[0] in mail["subject"] for mail in await mails(again)] == [True]
    status, body = await paste(third)
    assert status == "200"
    assert json.loads(body)["shipmentNumber"] != shipment

    third.interrupt()
    assert await third.wait_for_exit() == 0
    assert not any(map(lives, again["pids"].values()))
    assert not (data_dir / "dev.json").exists()
    command_lines = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    assert not [line for line in command_lines if str(data_dir) in line]


async def test_addresses_in_the_environment_win_and_a_process_that_dies_ends_the_rest(
    processes: Processes, settings: Settings, tmp_path: Path
) -> None:
    env = environment(settings, {"WAYBILL_SMTP_URL": "smtp://127.0.0.1:1", "WAYBILL_LOG_LEVEL": "error"})
    options = ("--data-dir", str(tmp_path / "data"), "--port", str(free_port()), "--no-demo", "--workers", "2")
    dev = await start(processes, *options, env=env)
    told = await told_by(dev, tmp_path / "data")

    assert told["database_url"] == settings.database_url
    assert told["amqp_url"] == settings.amqp_url
    assert told["smtp_url"] == "smtp://127.0.0.1:1"
    assert told["inbox_url"] is None
    workers = {f"worker-{queue}" for queue in CONSUMERS}
    assert set(told["pids"]) == {"dev", "payment-provider", "api", "relay"} | workers
    assert "No shipment is waiting" in dev.output()

    sharing = [process.pid for process in psutil.Process(told["pids"]["api"]).children()]
    assert len(sharing) == 2
    psutil.Process(told["pids"]["api"]).kill()
    assert await dev.wait_for_exit() == 1
    assert "api was killed by SIGKILL" in dev.output()
    assert not any(map(lives, told["pids"].values()))
    assert not any(map(lives, sharing))
