"""Child processes of the development stack: started in sessions of their own, watched, ended without leftovers."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.dev.private_files import write_private

POLL_S = 0.05
KILL_WAIT_S = 5.0


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
    grace_s: float = 15.0

    @property
    def pid(self) -> int:
        """Process id, which is the session's id too."""
        return self.process.pid

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Children:
    """The processes that one supervisor has started, in order.

    `roster` is a file that names them, so that a successor can end them if the supervisor itself is killed.
    """

    def __init__(self, *, roster: Path, logs: Path) -> None:
        self._roster = roster
        self._logs = logs
        self._started: list[Child] = []
        self._lock = threading.Lock()
        self._stop_requested = threading.Event()
        self._exits: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_s: float = 15.0,
    ) -> Child:
        """Start a process that is meant to run until it is stopped. Raise `StartError` if it cannot be executed."""
        with self._lock:
            if self._stop_requested.is_set():
                raise Stopped
            log = self._logs / f"{name}.log"
            child = Child(name, _spawn(argv, log=log, env=env, user=user), log, stop_signal, grace_s)
            self._started.append(child)
            self._write_roster()
        threading.Thread(target=self._watch, args=(child,), name=f"watch-{name}", daemon=True).start()
        return child

    def run(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, user: str | int | None = None
    ) -> str:
        """Run a process to its end and return its output. Raise `StartError` with the output's end if it fails."""
        log = self._logs / f"{name}.log"
        process = _spawn(argv, log=log, env=env, user=user)
        try:
            while process.poll() is None:
                if self._stop_requested.wait(POLL_S / 5):
                    raise Stopped
        finally:
            _kill_session(process.pid)
            process.wait()
        child = Child(name, process, log)
        if process.returncode:
            raise StartError(f"{name} failed (exit code {process.returncode}):\n{child.tail()}")
        return log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, child: Child, timeout_s: float) -> None:
        """Return once `ready()`; raise `StartError` when `child` ends before that or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if child.process.poll() is not None:
                raise StartError(describe_exit(child))
            if time.monotonic() > deadline:
                raise StartError(f"{child.name} is not ready after {timeout_s:g} s; see {child.log}\n{child.tail()}")
            if self._stop_requested.wait(POLL_S):
                raise Stopped

    def wait_for_exit(self) -> Child | None:
        """Block until some child ends and return it; None when a stop was requested."""
        return self._exits.get()

    def request_stop(self) -> None:
        """Make every wait end with `Stopped`, and nothing start any more. Safe in a signal handler."""
        self._stop_requested.set()
        self._exits.put(None)

    def stop_all(self, *, hurry: threading.Event | None = None) -> None:
        """End every child in the reverse order of its start, at once if `hurry` is set, and leave no descendant."""
        self._stop_requested.set()
        with self._lock:
            started = list(self._started)
        for child in reversed(started):
            _stop(child, hurry=hurry or threading.Event())
        with self._lock:
            self._started.clear()
        self._roster.unlink(missing_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        with self._lock:
            return {child.name: child.pid for child in self._started}

    def _watch(self, child: Child) -> None:
        child.process.wait()
        self._exits.put(child)

    def _write_roster(self) -> None:
        entries = [{"name": child.name, "pid": child.pid, "created": _created(child.pid)} for child in self._started]
        write_private(self._roster, json.dumps(entries))


def end_orphans(roster: Path) -> list[str]:
    """End what a killed supervisor has left behind according to its roster; return the names of what was found."""
    try:
        entries = json.loads(roster.read_text())
    except FileNotFoundError:
        return []
    found = []
    for entry in reversed(entries):
        pid: int = entry["pid"]
        created = _created(pid)
        # A process id is not reused while a session of that number lives, so a leader that is gone leaves only ours.
        if created is not None and created != entry["created"]:
            continue
        members = _session(pid)
        if members:
            found.append(entry["name"])
            _end(members, grace_s=0 if created is None else 5)
    roster.unlink()
    return found


def describe_exit(child: Child) -> str:
    """Say how a child ended and what it wrote last."""
    code = child.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"{child.name} {how}; the end of {child.log}:\n{child.tail()}"


def _spawn(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None, user: str | int | None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                user=user,
                extra_groups=None if user is None else [],
                # Ctrl-C at the terminal is for the supervisor, which ends its children in order.
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"cannot run {argv[0]}: {error.strerror}") from error


def _stop(child: Child, *, hurry: threading.Event) -> None:
    if child.process.poll() is None and not hurry.is_set():
        child.process.send_signal(child.stop_signal)
        deadline = time.monotonic() + child.grace_s
        while child.process.poll() is None and time.monotonic() < deadline and not hurry.is_set():
            time.sleep(POLL_S / 5)
    _kill_session(child.pid)
    child.process.wait()


def _kill_session(session: int) -> None:
    members = _session(session)
    for member in members:
        _signal(member, signal.SIGKILL)
    psutil.wait_procs(members, timeout=KILL_WAIT_S)


def _end(members: Sequence[psutil.Process], *, grace_s: float) -> None:
    for member in members:
        _signal(member, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=grace_s)
    for member in alive:
        _signal(member, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=KILL_WAIT_S)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _session(session: int) -> list[psutil.Process]:
    return [process for process in _processes() if _session_of(process.pid) == session and not _is_zombie(process)]


def _processes() -> Iterable[psutil.Process]:
    return psutil.process_iter()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
