"""Child processes of the development stack: started in sessions of their own, watched, ended without leftovers."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from service.dev.private_files import remember
from service.dev.sessions import created_at, kill_session

POLL_S = 0.05
READY_TIMEOUT_S = 120.0
GRACE_S = 15.0

T = TypeVar("T")


class StartError(Exception):
    """The stack cannot start or go on. The message is for the person at the terminal."""


class Stopped(Exception):
    """Somebody asked the stack to stop while it was waiting for something."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours, leader of its own session. `log` holds what it wrote to its standard streams."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        """Process id, which is the session's id too."""
        return self.process.pid

    def output(self) -> str:
        """Return everything it wrote."""
        return self.log.read_text(errors="replace")

    def describe_exit(self) -> str:
        """Say how it ended and what it wrote last."""
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {how}. The end of {self.log}:\n{self._tail()}"

    def describe_delay(self, waited_s: float) -> str:
        """Say that it is not ready yet and what it wrote last."""
        return f"{self.name} is not ready after {waited_s:g} s. The end of {self.log}:\n{self._tail()}"

    def _tail(self) -> str:
        return "\n".join(self.output().splitlines()[-15:])


class Children:
    """The processes that one supervisor has started, in order.

    `roster` is a file that names them, so that a successor can end them if the supervisor itself is killed
    (`sessions.end_orphans`). All methods may be called from several threads, `request_stop` in a signal handler too.
    """

    def __init__(self, *, roster: Path, logs: Path) -> None:
        self._roster = roster
        self._logs = logs
        self._started: list[Child] = []
        self._lock = threading.Lock()
        # Plain flags and a re-entrant queue: a signal handler may interrupt anything, a lock's holder included.
        self._stop_requested = False
        self._ending = False
        self._hurry = False
        self._exits: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Child:
        """Start a process that is meant to run until it is stopped."""
        child = self._start(name, argv, env=env, stop_signal=stop_signal)
        threading.Thread(target=self._watch, args=(child,), name=f"watch {name}", daemon=True).start()
        return child

    def run(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
        """Run a process to its end and return its output. Raise `StartError` with the output's end if it fails."""
        child = self._start(name, argv, env=env, stop_signal=signal.SIGTERM)
        try:
            while child.process.poll() is None:
                if self._stop_requested:
                    raise Stopped
                time.sleep(POLL_S / 5)
        finally:
            kill_session(child.pid)
            child.process.wait()
            with self._lock:
                self._started.remove(child)
                self._write_roster()
        if child.process.returncode:
            raise StartError(child.describe_exit())
        return child.output()

    def wait_until(self, ready: Callable[[], bool], *, child: Child, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once `ready()`. Raise `StartError` when `child` ends before that or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if child.process.poll() is not None:
                raise StartError(child.describe_exit())
            if time.monotonic() > deadline:
                raise StartError(child.describe_delay(timeout_s))
            if self._stop_requested:
                raise Stopped
            time.sleep(POLL_S)

    def wait_for_exit(self) -> Child | None:
        """Block until some child ends and return it; None when a stop was requested."""
        return self._exits.get()

    def request_stop(self) -> None:
        """Make every wait end with `Stopped` and nothing start any more; while already ending, end at once."""
        self._stop_requested = True
        self._hurry = self._ending
        self._exits.put(None)

    def stop_all(self, *, at_once: bool = False) -> None:
        """End every child in the reverse order of its start and leave no descendant."""
        self._stop_requested = True
        self._hurry = at_once
        self._ending = True
        with self._lock:
            for child in reversed(self._started):
                self._stop(child)
            self._started.clear()
            self._roster.unlink(missing_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        with self._lock:
            return {child.name: child.pid for child in self._started}

    def _start(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None, stop_signal: signal.Signals
    ) -> Child:
        log = self._logs / f"{name}.log"
        with self._lock:
            if self._stop_requested:
                raise Stopped
            if log.exists():
                log.replace(log.with_suffix(".log.1"))
            child = Child(name, _spawn_waiting(argv, log=log, env=env), log, stop_signal)
            self._started.append(child)
            self._write_roster()
        # Only now, so that no process ever runs that the roster does not name.
        _let_go(child.process)
        return child

    def _write_roster(self) -> None:
        remember(self._roster, {"children": [_roster_entry(each) for each in self._started]}, durably=False)

    def _watch(self, child: Child) -> None:
        child.process.wait()
        self._exits.put(child)

    def _stop(self, child: Child) -> None:
        deadline = time.monotonic() + GRACE_S
        if child.process.poll() is None and not self._hurry:
            child.process.send_signal(child.stop_signal)
            while child.process.poll() is None and time.monotonic() < deadline and not self._hurry:
                time.sleep(POLL_S / 5)
        kill_session(child.pid)
        child.process.wait()


def _spawn_waiting(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    """Start a process that becomes `argv` once it is let go, and ends if we do before that."""
    with log.open("wb") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh", *argv],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            # Ctrl-C at the terminal is for the supervisor, which ends its children in order.
            start_new_session=True,
        )


def _let_go(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is None:
        raise TypeError("not started by _spawn_waiting")
    with suppress(BrokenPipeError), process.stdin as gate:
        gate.write(b"go\n")


def _roster_entry(child: Child) -> dict[str, Any]:
    return {
        "name": child.name,
        "pid": child.pid,
        "created": created_at(child.pid),
        "stop_signal": int(child.stop_signal),
    }


def start_together(children: Children, starters: Sequence[Callable[[], T]]) -> list[T]:
    """Run all starters at once and return their results. The first error stops `children` and is raised."""
    with ThreadPoolExecutor(max_workers=max(len(starters), 1)) as threads:
        futures = [threads.submit(starter) for starter in starters]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            children.request_stop()
            raise
        errors = [error for future in done if (error := future.exception())]
        if errors:
            children.request_stop()
            raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
        return [future.result() for future in futures]
