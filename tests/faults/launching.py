"""Starts the processes of a stack, and others in their places."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from service.settings import Settings
from tests.support.processes import Process, Processes, free_port

ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class Launcher:
    """What runs, by what it is. `settings` are the processes'."""

    settings: Settings
    processes: Processes
    provider_port: int
    provider_folder: Path
    apis: dict[int, Process] = field(default_factory=dict)
    relays: list[Process] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    others: dict[str, Process] = field(default_factory=dict)
    provider: Process | None = None

    async def start_provider(self, *, ready: bool = True) -> Process:
        """Start the payment provider, at the port and with the ledger that it always has."""
        self.provider = self.processes.start(
            "sandbox-provider", "--port", str(self.provider_port), "--data-dir", str(self.provider_folder)
        )
        if ready:
            await self.provider.wait_until_ready(f"http://127.0.0.1:{self.provider_port}/healthz")
        return self.provider

    async def start_api(
        self,
        *,
        port: int | None = None,
        fail_at: str | None = None,
        ready: bool = True,
        settings: Settings | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start an API process; calls go to all of them in turn. `port` puts it in another one's place."""
        port = port or free_port()
        process = self._start("api", "--port", str(port), fail_at=fail_at, settings=settings, env=env)
        self.apis[port] = process
        if ready:
            await process.wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        return process

    async def start_relay(
        self,
        *,
        fail_at: str | None = None,
        ready: bool = True,
        settings: Settings | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start a relay."""
        process = self._start("relay", fail_at=fail_at, settings=settings, env=env)
        self.relays.append(process)
        if ready:
            await process.wait_for_line("relay_started")
        return process

    async def start_worker(
        self,
        *,
        fail_at: str | None = None,
        ready: bool = True,
        settings: Settings | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start a mail worker."""
        process = self._start("worker", "email", fail_at=fail_at, settings=settings, env=env)
        self.workers.append(process)
        if ready:
            await process.wait_for_line("worker_started")
        return process

    async def start_other(self, *arguments: str, line: str) -> Process:
        """Start something else, `waybill *arguments`, and wait for a line of its log."""
        process = self._start(*arguments, fail_at=None, settings=None, env=None)
        self.others[" ".join(arguments)] = process
        await process.wait_for_line(line)
        return process

    def _start(
        self, *arguments: str, fail_at: str | None, settings: Settings | None, env: dict[str, str] | None
    ) -> Process:
        env = {"PYTHONPATH": str(ROOT), **(env or {})}
        settings = settings or self.settings
        if fail_at is None:
            return self.processes.start(*arguments, settings=settings, env=env)
        launcher = ("-m", "tests.faults.failing", "--at", fail_at, "--")
        return self.processes.start(*launcher, *arguments, settings=settings, env=env, program=sys.executable)

    def kill_all(self) -> None:
        """kill -9 for everything that runs."""
        started = [*self.apis.values(), *self.relays, *self.workers, *self.others.values()]
        for process in [*started, self.provider]:
            if process and process.running:
                process.kill()
