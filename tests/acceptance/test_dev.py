"""`waybill dev` as a newcomer meets it."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from service.settings import Settings
from tests.support.processes import Process, Processes, environment, free_port
from tests.support.waiting import until

ORDER = {
    "orderNumber": "990001",
    "store": "se-web",
    "currency": "SEK",
    "locale": "sv-SE",
    "customer": {"name": "Åsa Öberg", "email": "asa@example.com"},
    "shippingAddress": {
        "name": "Åsa Öberg",
        "street": "Storgatan 1",
        "postalCode": "111 22",
        "city": "Stockholm",
        "country": "SE",
    },
    "payment": {"provider": "sandbox", "authorization": "sandbox:ok"},
    "shippingAmount": "49.00",
    "lines": [
        {"lineId": "1", "sku": "A-1", "name": "Shirt", "quantity": 2, "unitPrice": "199.00", "taxRate": "0.25"},
    ],
    "shipments": [{"status": "RELEASED", "lines": {"1": 2}}],
}


async def start(processes: Processes, *options: str, env: dict[str, str] | None = None) -> Process:
    return processes.start("dev", *options, env={"COLUMNS": "80", **(env or {})})


async def told_by(process: Process, data_dir: Path) -> dict[str, Any]:
    """Return dev.json once the stack says that it is ready."""
    await process.wait_for_line("Waybill is ready", timeout_s=60)
    told: dict[str, Any] = json.loads((data_dir / "dev.json").read_text())
    return told


def lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not, and nobody knows when its parent will reap it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def complete(told: dict[str, Any]) -> int:
    return await call(
        told, "POST", "/integration/api/shipping/v1/shipments/complete-shipment", {"shipmentNumber": "990001-1"}
    )


async def call(told: dict[str, Any], method: str, path: str, body: object) -> int:
    key = aiohttp.encode_basic_auth(told["api_key"]["id"], told["api_key"]["secret"])
    async with (
        aiohttp.ClientSession(headers={"Authorization": key}) as session,
        session.request(method, told["api"] + path, json=body) as response,
    ):
        return response.status


async def mails(told: dict[str, Any]) -> list[dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(f"{told['inbox_url']}/messages") as response:
        listed: list[dict[str, str]] = await response.json()
        return listed


async def test_a_first_completion_survives_a_killed_supervisor(processes: Processes, tmp_path: Path) -> None:
    data_dir = tmp_path / "data of a newcomer"  # a path with spaces in it
    options = ("--data-dir", str(data_dir), "--port", str(free_port()), "--workers", "2")

    first = await start(processes, *options)
    told = await told_by(first, data_dir)
    assert await call(told, "PUT", "/integration/api/orders/v1/orders/990001", ORDER) == 201
    assert await complete(told) == 200
    await until(lambda: mails(told))
    assert await complete(told) == 409

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
    del told["pids"]["dev"]
    assert not any(map(lives, told["pids"].values()))
    assert again["api_key"] == told["api_key"]
    assert again["database_url"] == told["database_url"]
    assert [mail["to"] for mail in await mails(again)] == ["asa@example.com"]
    assert await complete(again) == 409

    third.interrupt()
    assert await third.wait_for_exit() == 0
    assert not any(map(lives, again["pids"].values()))
    assert not (data_dir / "dev.json").exists()
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(data_dir) in " ".join(process.info["cmdline"] or [])
    ]


async def test_a_demo_shipment_is_one_paste_away(processes: Processes, settings: Settings, tmp_path: Path) -> None:
    env = environment(settings)
    dev = await start(processes, "--data-dir", str(tmp_path / "data"), "--port", str(free_port()), env=env)
    told = await told_by(dev, tmp_path / "data")

    line = await dev.wait_for_line("curl ")
    curl = await asyncio.create_subprocess_exec(*shlex.split(line), stdout=asyncio.subprocess.PIPE)
    answer, _ = await curl.communicate()
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    await until(lambda: mails(told))


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
    assert set(told["pids"]) == {"dev", "payment-provider", "api", "relay", "worker-email"}
    assert "No shipment is waiting" in dev.output()

    workers = [worker.pid for worker in psutil.Process(told["pids"]["api"]).children()]
    assert len(workers) == 2
    psutil.Process(told["pids"]["api"]).kill()
    assert await dev.wait_for_exit() == 1
    assert "api was killed by SIGKILL" in dev.output()
    assert not any(map(lives, told["pids"].values()))
    assert not any(map(lives, workers))
