"""The real PostgreSQL and RabbitMQ of a test run: named by the environment, in containers, or embedded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.dev.children import Children, StartError, start_together
from service.dev.servers_postgres import start_postgres
from service.dev.servers_rabbitmq import find_server, start_rabbitmq
from service.dev.sessions import created_at, end_orphans

POSTGRES_IMAGE = "postgres:18-alpine"
RABBITMQ_IMAGE = "rabbitmq:3.13-management"
FOLDER_PREFIX = "waybill-tests-"
MEMORY = Path("/dev/shm")
MEMORY_WANTED = 4 * 1024**3

# The variables that name servers, and addresses, by the field of `Servers` that they fill.
VARIABLES = {
    "database_admin_url": "WAYBILL_TEST_DATABASE_URL",
    "amqp_url": "WAYBILL_TEST_AMQP_URL",
    "amqp_management_url": "WAYBILL_TEST_AMQP_MANAGEMENT_URL",
}
Addresses = dict[str, str]


@dataclass(frozen=True)
class Servers:
    """Where the run's servers answer. `database_admin_url` is a superuser's; `amqp_url` has no virtual host."""

    database_admin_url: str
    amqp_url: str
    amqp_management_url: str
    origin: str

    def environment(self) -> dict[str, str]:
        """Return the variables by which another test process finds these servers."""
        return {variable: getattr(self, name) for name, variable in VARIABLES.items()}


@contextmanager
def open_servers() -> Iterator[Servers]:
    """Provide the servers for as long as the block runs. Raise `StartError` with the reason if they cannot be had."""
    found = _from_environment()
    origin = ["named by the environment"] if found else []
    with ExitStack() as stack:
        if not _complete(found) and _docker_answers():
            try:
                found = stack.enter_context(_containers(found))
                origin.append("in containers")
            except Exception as error:  # noqa: BLE001 - an engine that cannot pull images is no reason to give up
                origin.append(f"(no containers: {type(error).__name__}: {error})")
        if not _complete(found):
            found = stack.enter_context(_embedded(found))
            origin.append("embedded")
        yield Servers(**{name: url.rstrip("/") for name, url in found.items()}, origin=" ".join(origin))


def _complete(found: Addresses) -> bool:
    return found.keys() == {"database_admin_url", "amqp_url", "amqp_management_url"}


def _from_environment() -> Addresses:
    found = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    if ("amqp_url" in found) != ("amqp_management_url" in found):
        raise StartError("set both of WAYBILL_TEST_AMQP_URL and WAYBILL_TEST_AMQP_MANAGEMENT_URL, or neither")
    return found


@contextmanager
def throw_away_children() -> Iterator[tuple[Children, Path]]:
    """Provide a starter of processes and a folder for their data; neither outlives the block or, for long, a kill."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=_places()[0]))
    # PostgreSQL may have to run as another user, who must be able to come this far.
    folder.chmod(0o755)
    (folder / "owner").write_text(f"{os.getpid()} {created_at(os.getpid())}")
    children = Children(roster=folder / "processes.json", logs=folder / "logs")
    try:
        yield children, folder
    finally:
        # Nobody wants the data back: no orderly shutdown.
        children.stop_all(at_once=True)
        shutil.rmtree(folder)


@contextmanager
def _embedded(found: Addresses) -> Iterator[Addresses]:
    with throw_away_children() as (children, folder):

        def database() -> Addresses:
            return {"database_admin_url": start_postgres(children, folder / "postgres", throw_away=True)}

        def broker() -> Addresses:
            server = find_server()
            if server is None:
                raise StartError("rabbitmq-server is not installed; `make test` installs it where it can")
            started = start_rabbitmq(children, folder / "rabbitmq", server=server)
            return {"amqp_url": started.amqp_url, "amqp_management_url": started.management_url}

        starters = [*([] if "database_admin_url" in found else [database]), *([] if "amqp_url" in found else [broker])]
        for started in start_together(children, starters):
            found |= started
        yield found


def _sweep() -> None:
    """End what killed test runs of this user have left behind."""
    for folder in (found for place in _places() for found in place.glob(f"{FOLDER_PREFIX}*")):
        with suppress(FileNotFoundError):  # another run may be sweeping too, or just ending
            if folder.stat().st_uid == os.geteuid() and not _owner_lives(folder):
                end_orphans(folder / "processes.json")
                shutil.rmtree(folder, ignore_errors=True)


def _places() -> list[Path]:
    """Return where data may lie, the best place first: memory if there is plenty, because every test makes a database.

    A broker's confirmation waits for the disk, too.
    """
    disk = Path(tempfile.gettempdir())
    with suppress(OSError):
        if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_WANTED:
            return [MEMORY, disk]
    return [disk]


def _owner_lives(folder: Path) -> bool:
    try:
        pid, created = (folder / "owner").read_text().split()
        return created_at(int(pid)) == float(created)
    except (OSError, ValueError):
        return True  # another run is just making it


def _docker_answers() -> bool:
    # In a process of its own: a refused connection leaves an unclosed socket behind, which fails the next test.
    question = "import docker; docker.from_env(timeout=3).ping()"
    return subprocess.run([sys.executable, "-c", question], check=False, capture_output=True).returncode == 0


@contextmanager
def _containers(found: Addresses) -> Iterator[Addresses]:
    openers = [
        *([] if "database_admin_url" in found else [_postgres_container]),
        *([] if "amqp_url" in found else [_rabbitmq_container]),
    ]
    with ExitStack() as stack:
        for opener in openers:
            found = found | stack.enter_context(opener())
        yield found


@contextmanager
def _postgres_container() -> Iterator[Addresses]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import ExecWaitStrategy

    container = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", "waybill")
        .with_command("postgres -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=300")
        .with_exposed_ports(5432)
        # Over TCP: while the image initialises itself, its server listens on a socket file only.
        .waiting_for(ExecWaitStrategy(["pg_isready", "--host=127.0.0.1"]))
    )
    with container as running:
        address = f"{running.get_container_host_ip()}:{running.get_exposed_port(5432)}"
        yield {"database_admin_url": f"postgresql://postgres:waybill@{address}/postgres"}


@contextmanager
def _rabbitmq_container() -> Iterator[Addresses]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = (
        DockerContainer(RABBITMQ_IMAGE)
        .with_exposed_ports(5672, 15672)
        .waiting_for(LogMessageWaitStrategy("Server startup complete"))
    )
    with container as running:
        host = running.get_container_host_ip()
        yield {
            "amqp_url": f"amqp://guest:guest@{host}:{running.get_exposed_port(5672)}",
            "amqp_management_url": f"http://guest:guest@{host}:{running.get_exposed_port(15672)}",
        }
