"""Real processes without their second of start: one that has imported `waybill` once forks each of them.

The matrix of kills starts some hundred. Each is a process of its own with its own environment, log and sockets, runs
the command line's `main` from its beginning, and dies with the test.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from service import cli
from service.dev.children import Child, Children
from service.settings import Settings
from tests.faults import failing
from tests.support.processes import Process, environment

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 15.0


class Forks:
    """Starts processes as `tests.support.processes.Processes` does; `close` ends them all."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._logs = address, folder / "forks"
        self._started: list[Forked] = []
        self._logs.mkdir(parents=True)

    def start(
        self,
        *arguments: str,
        settings: Settings | None = None,
        env: Mapping[str, str] | None = None,
        program: str | None = None,
    ) -> Process:
        """Start `waybill *arguments`, or the launcher of fail points where `arguments` begin with its module."""
        if program is not None and arguments[:2] != ("-m", failing.__spec__.name):
            raise ValueError(f"cannot fork {program} {' '.join(arguments)}")
        name = "-".join([str(len(self._started) + 1), *arguments[-3:]]).replace("/", "_")
        log = self._logs / f"{name}.log"
        log.touch()
        process = Forked(self._address, arguments, env=environment(settings, env), log=log)
        self._started.append(process)
        return Process(Child(name, process, log))

    def close(self) -> None:
        """End everything at once."""
        for process in self._started:
            process.close()


class Forked:
    """One forked process, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, address: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.returncode: int | None = None
        self._keeper = socket.socket(socket.AF_UNIX)
        self._keeper.settimeout(START_TIMEOUT_S)
        self._keeper.connect(address)
        order = {"arguments": list(arguments), "env": dict(env), "log": str(log)}
        self._keeper.sendall(json.dumps(order).encode() + b"\n")
        self._words = self._keeper.makefile("r")
        self.pid = int(self._words.readline())

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._keeper], [], [], 0)[0]:
            self.returncode = int(self._words.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            # Told to the keeper, who knows whether the process id is still that process.
            with suppress(OSError):
                self._keeper.sendall(bytes([number]))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        deadline = time.monotonic() + END_TIMEOUT_S
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        self._words.close()
        self._keeper.close()


@contextmanager
def open_nursery() -> Iterator[str]:
    """Start the process that forks the others; provide its address."""
    with tempfile.TemporaryDirectory(prefix="waybill-forks-") as folder:
        address = f"{folder}/forks"
        children = Children(roster=Path(folder, "processes.json"), logs=Path(folder, "logs"))
        try:
            child = children.start(
                "forks",
                [sys.executable, "-m", __name__, address],
                env=environment(extra={"PYTHONPATH": str(ROOT)}),
            )
            children.wait_until(lambda: "ready" in child.output(), child=child)
            yield address
        finally:
            children.stop_all(at_once=True)


def _serve(address: str) -> None:
    for command in cli.COMMANDS.values():
        import_module(command.partition(":")[0])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(100)
        sys.stdout.write("ready\n")
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _keep(connection)
            connection.close()


def _keep(connection: socket.socket) -> NoReturn:
    """Fork what is ordered, pass signals on to it, tell its exit code; end it when nobody listens any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("r") as words:
        order = json.loads(words.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(order)
    ended = os.pidfd_open(pid)
    connection.sendall(b"%d\n" % pid)
    while True:
        ready, _, _ = select.select([connection, ended], [], [])
        if ended in ready:
            _, status = os.waitpid(pid, 0)
            with suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for number in connection.recv(100) or [signal.SIGKILL]:
            signal.pidfd_send_signal(ended, number)


def _become(order: dict[str, Any]) -> NoReturn:
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(order["env"])
    arguments = order["arguments"]
    code: Any = 0
    try:
        if arguments[:2] == ["-m", failing.__spec__.name]:
            failing.launch(arguments[2:])
        else:
            sys.argv = ["waybill", *arguments]
            cli.main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as the interpreter ends a process
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve(sys.argv[1])
