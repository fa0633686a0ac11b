"""A PostgreSQL and a RabbitMQ of a test's own, which may be stopped, killed, frozen, filled up and started again.

Each comes back at the same address with the same data. Nothing is left of them afterwards. The calls block, for up to
some seconds: an event loop makes them from a thread.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import psutil

from service.commands.migrate import apply_migrations
from service.dev.children import Child, Children
from service.dev.private_files import free_port
from service.dev.probes import port_answers
from service.dev.servers_postgres import ensure_database, start_postgres
from service.dev.servers_rabbitmq import (
    NODE,
    USER,
    VHOST,
    find_epmd,
    find_server,
    is_broker_ready,
    node_environment,
    write_configuration,
)
from tests.support.cluster import IDLE
from tests.support.servers import throw_away_children

STOP_TIMEOUT_S = 60
DATABASE = "waybill"


class PrivatePostgres:
    """A server that keeps what it has confirmed, whatever becomes of it. `url` is a migrated database's."""

    def __init__(self, children: Children, folder: Path, environment: Mapping[str, str]) -> None:
        self._children, self._folder, self._environment = children, folder, dict(environment)
        self.admin_url = start_postgres(children, folder)
        # A server that is killed leaves segments of the usual kind behind for ever.
        with (folder / "cluster" / "postgresql.conf").open("a") as configuration:
            configuration.write("dynamic_shared_memory_type = mmap\n")
        self.stop()
        self.start()
        ensure_database(children, self.admin_url, DATABASE)
        self.url = urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{DATABASE}"))
        if apply_migrations(self.url):
            raise RuntimeError("the migrations fail on the private server; their output is above")

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def stop(self) -> None:
        """PostgreSQL's fast shutdown: sessions are ended, transactions rolled back."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """PostgreSQL's immediate shutdown: no checkpoint, the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def start(self) -> None:
        before = {name: os.environ.get(name) for name in self._environment}
        # It inherits ours, and there is no other way to give it more.
        os.environ.update(self._environment)
        try:
            url = start_postgres(self._children, self._folder)
        finally:
            for name, value in before.items():
                _restore(name, value)
        assert url == self.admin_url, "it must come back where it was"

    def freeze(self) -> None:
        _signal_all(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        _signal_all(self._pid, signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._pid in psutil.pids()

    @property
    def _pid(self) -> int:
        return self._children.pids["postgres"]

    def _end(self, how: signal.Signals) -> None:
        _end(self._pid, how)


class PrivateBroker:
    """One RabbitMQ node. `amqp_url` is that of its one virtual host."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._children, self._folder = children, folder
        self._known = {"password": secrets.token_urlsafe(24), "cookie": secrets.token_hex(20)}
        for use in ("amqp", "management", "distribution", "epmd"):
            self._known[use] = free_port(other_than=[port for port in self._known.values() if isinstance(port, int)])
        folder.mkdir(parents=True, exist_ok=True)
        # A disk that is small from the beginning is no reason for an alarm.
        write_configuration(folder, self._known, more=["disk_free_limit.absolute = 1MB"])
        self._environment = node_environment(folder, self._known)
        self._environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] += IDLE
        mapper = children.start("epmd", [find_epmd(), "-port", str(self._known["epmd"]), "-address", "127.0.0.1"])
        children.wait_until(partial(port_answers, self._known["epmd"]), child=mapper)
        self._child: Child
        self.start()

    @property
    def port(self) -> int:
        return int(self._known["amqp"])

    @property
    def amqp_url(self) -> str:
        return f"amqp://{USER}:{self._known['password']}@127.0.0.1:{self.port}/{VHOST}"

    @property
    def management_url(self) -> str:
        return f"http://{USER}:{self._known['password']}@127.0.0.1:{self._known['management']}"

    def start(self) -> None:
        self._child = self._children.start("rabbitmq", [find_server() or "rabbitmq-server"], env=self._environment)
        ready = partial(is_broker_ready, self._known["management"], self._known["password"])
        self._children.wait_until(ready, child=self._child)

    def stop(self) -> None:
        """Stop in order: clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Crash it: kill -9."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        _signal_all(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        _signal_all(self._child.pid, signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._child.process.poll() is None

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl *arguments` and return what it prints."""
        server = Path(find_server() or "")
        command = [str(server.with_name("rabbitmqctl")), "--node", NODE, *arguments]
        # Nobody gives it anything to read, and some of its commands would wait for that.
        done = subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def output(self) -> str:
        """Return what the node has written to its log since its start."""
        return self._child.output()

    def raise_memory_alarm(self) -> None:
        self.control("set_vm_memory_high_watermark", "absolute", "1")

    def end_memory_alarm(self) -> None:
        self.control("set_vm_memory_high_watermark", "0.4")

    def raise_disk_alarm(self) -> None:
        self.control("set_disk_free_limit", "900000000000000")

    def end_disk_alarm(self) -> None:
        self.control("set_disk_free_limit", "1000000")

    def _end(self, how: signal.Signals) -> None:
        _end(self._child.pid, how)


@contextmanager
def open_postgres(
    *, environment: Mapping[str, str] = MappingProxyType({}), folder: Path | None = None
) -> Iterator[PrivatePostgres]:
    """Provide a server with an empty, migrated database, its data in `folder` if there is a place for it."""
    with throw_away_children() as (children, usual):
        postgres = PrivatePostgres(children, (folder or usual) / "postgres", environment)
        yield postgres
        if postgres.running:
            postgres.thaw()


@contextmanager
def open_broker(*, folder: Path | None = None) -> Iterator[PrivateBroker]:
    """Provide a node with an empty virtual host, its data in `folder` if there is a place for it."""
    with throw_away_children() as (children, usual):
        broker = PrivateBroker(children, (folder or usual) / "rabbitmq")
        yield broker
        if broker.running:
            broker.thaw()


class SmallDisk:
    """A file system of a few megabytes, to be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave not one block free."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def can_mount(folder: Path) -> bool:
    """Tell whether this user may make file systems, as root of a whole machine may and hardly anybody else."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], check=False).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


@contextmanager
def small_disk(parent: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a small file system in memory beneath `parent`; needs `can_mount`."""
    folder = parent / "small-disk"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def _restore(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def _signal_all(leader: int, number: signal.Signals) -> None:
    """Signal a process and all its descendants; the leader first, so that it starts no more."""
    process = psutil.Process(leader)
    process.send_signal(number)
    for descendant in process.children(recursive=True):
        try:
            descendant.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _end(leader: int, how: signal.Signals) -> None:
    """Signal a process and return once it and its descendants have ended: they hold on to the port and the data."""
    try:
        process = psutil.Process(leader)
        family = [process, *process.children(recursive=True)]
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
    assert not alive, f"still running after {STOP_TIMEOUT_S} s: {alive}"
