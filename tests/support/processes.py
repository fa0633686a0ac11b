"""Real `waybill …` processes for acceptance tests: started, watched through their logs, and always ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp

from service.dev.children import Child, Children
from service.dev.private_files import free_port
from service.settings import Settings

LOOK_AGAIN_S = 0.02

__all__ = ["Process", "Processes", "free_port"]


class Process:
    """One running `waybill …`."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def log(self) -> Path:
        """The file with everything it has written to its standard streams."""
        return self._child.log

    @property
    def running(self) -> bool:
        return self._child.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._child.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask it to stop, as an orchestrator does."""
        self._child.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Crash it: kill -9, and nothing gets to clean up. Its own children live on."""
        self._child.process.kill()

    async def wait_for_line(self, text: str, *, timeout_s: float = 60) -> str:
        """Return the first line of the output that contains `text`."""
        await self._wait(lambda: text in self.output(), f"a line with {text!r}", timeout_s)
        return next(line for line in self.output().splitlines() if text in line)

    async def wait_until_ready(self, url: str, *, timeout_s: float = 60) -> None:
        """Return once a GET of `url` answers 200."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            async with asyncio.timeout(timeout_s):
                while not await _answers(session, url):
                    assert self.running, self._child.describe_exit()
                    await asyncio.sleep(LOOK_AGAIN_S)

    async def wait_for_exit(self, *, timeout_s: float = 60) -> int:
        """Return its exit code, negative if a signal ended it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self.running:
            assert asyncio.get_running_loop().time() < deadline, f"still running after {timeout_s} s:\n{self.output()}"
            await asyncio.sleep(LOOK_AGAIN_S)
        return self._child.process.returncode

    async def _wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not condition():
            # It may have written its last words between the look at the log and the look at the process.
            assert self.running or condition(), f"no {what}; {self._child.describe_exit()}"
            assert asyncio.get_running_loop().time() < deadline, f"no {what} after {timeout_s} s:\n{self.output()}"
            await asyncio.sleep(LOOK_AGAIN_S)


class Processes:
    """Starts processes; `close` ends them all with every descendant in their sessions."""

    def __init__(self, folder: Path) -> None:
        self._children = Children(roster=folder / "processes.json", logs=folder / "logs")
        self._started = 0

    def start(
        self,
        *arguments: str,
        settings: Settings | None = None,
        env: Mapping[str, str] | None = None,
        program: str | None = None,
    ) -> Process:
        """Start `waybill *arguments` with the `WAYBILL_…` variables of `settings`, then those of `env`.

        `program` replaces `waybill`. Nothing of the tests' own `WAYBILL_…` environment reaches the process.
        """
        self._started += 1
        name = f"{self._started}-{'-'.join(arguments[:2]).replace('/', '_')}"
        argv = [program or str(Path(sysconfig.get_path("scripts")) / "waybill"), *arguments]
        return Process(self._children.start(name, argv, env=environment(settings, env)))

    def close(self) -> None:
        """End everything at once."""
        self._children.stop_all()


def environment(settings: Settings | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a `waybill` process: ours without `WAYBILL_…`, the settings given, then `extra`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    given = (
        {f"WAYBILL_{name.upper()}": _text(getattr(settings, name)) for name in settings.model_fields_set}
        if settings
        else {}
    )
    return {**ours, "PYTHONUNBUFFERED": "1", **given, **(extra or {})}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
