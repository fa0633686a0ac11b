"""On what it was measured: hardware, versions, settings. No names of hosts or people."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.servers import Servers
from bench.size import FOLDER

GIBIBYTE = 2**30
LIBRARIES = ("aiohttp", "asyncpg", "aio-pika", "aiosmtplib", "pydantic", "typst")


def describe_machine() -> dict[str, str]:
    """Return what the machine is, and how busy it was with other things when the run began."""
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{psutil.virtual_memory().total / GIBIBYTE:.0f} GiB",
        "system": f"Linux {platform.release()} {platform.machine()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def describe_versions(servers: Servers) -> dict[str, str]:
    """Return the versions of what took part, and PostgreSQL's settings."""
    told = {
        "Waybill": _commit(),
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "PostgreSQL": str(servers.database.look("version")),
        "PostgreSQL settings": ", ".join(
            f"{setting['name']} {setting['value']}" for setting in servers.database.look("settings")
        ),
        "wrk": _first_line(["wrk", "-v"]),
    }
    if "rabbitmq" in servers.pids:
        told["RabbitMQ"] = servers.broker_version
    return told


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    told = _first_line(["git", "-C", str(FOLDER.parent), "describe", "--always", "--dirty"])
    return told or "not a git checkout"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].partition(" Copyright")[0].strip()
