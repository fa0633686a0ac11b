"""The real PostgreSQL and RabbitMQ of a test run: named by the environment, in containers, or embedded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.dev.children import Children, StartError, end_orphans
from service.dev.servers_postgres import start_postgres
from service.dev.servers_rabbitmq import Broker, find_server, start_rabbitmq

POSTGRES_IMAGE = "postgres:18-alpine"
RABBITMQ_IMAGE = "rabbitmq:3.13-management"
FOLDER_PREFIX = "waybill-tests-"


@dataclass(frozen=True)
class Servers:
    """Where the run's servers answer. `database_admin_url` is a superuser's; `amqp_url` has no virtual host."""

    database_admin_url: str
    amqp_url: str
    amqp_management_url: str
    origin: str


@contextmanager
def open_servers() -> Iterator[Servers]:
    """Provide the servers for as long as the block runs. Raise `StartError` with the reason if they cannot be had."""
    database, broker = _from_environment()
    origin = []
    with ExitStack() as stack:
        if database and broker:
            origin.append("named by the environment")
        elif _docker_answers():
            try:
                database, broker = stack.enter_context(_containers(database, broker))
                origin.append("in containers")
            except Exception as error:  # noqa: BLE001 - an engine without registry access is no reason to give up
                origin.append(f"(containers failed: {type(error).__name__}: {error})")
        if not (database and broker):
            database, broker = stack.enter_context(_embedded(database, broker))
            origin.append("embedded")
        yield Servers(database, broker.amqp_url.rstrip("/"), broker.management_url.rstrip("/"), " ".join(origin))


def _from_environment() -> tuple[str | None, Broker | None]:
    database = os.environ.get("WAYBILL_TEST_DATABASE_URL")
    amqp, management = (os.environ.get(f"WAYBILL_TEST_{name}") for name in ("AMQP_URL", "AMQP_MANAGEMENT_URL"))
    if bool(amqp) != bool(management):
        raise StartError("set both of WAYBILL_TEST_AMQP_URL and WAYBILL_TEST_AMQP_MANAGEMENT_URL, or neither")
    return database or None, Broker(amqp, management) if amqp and management else None


@contextmanager
def _embedded(database: str | None, broker: Broker | None) -> Iterator[tuple[str, Broker]]:
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    # PostgreSQL may have to run as another user, who must be able to come this far.
    folder.chmod(0o755)
    (folder / "owner").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
    children = Children(roster=folder / "processes.json", logs=folder / "logs")
    hurry = threading.Event()
    hurry.set()
    try:
        with ThreadPoolExecutor() as threads:
            # Both at once: RabbitMQ takes seconds, PostgreSQL less than one.
            postgres = None if database else threads.submit(start_postgres, children, folder / "pg", throw_away=True)
            rabbitmq = None if broker else threads.submit(_start_rabbitmq, children, folder / "mq")
            try:
                yield_database = postgres.result() if postgres else database
                yield_broker = rabbitmq.result() if rabbitmq else broker
            except BaseException:
                children.request_stop()
                raise
        yield yield_database, yield_broker
    finally:
        # Nobody wants the data back: no orderly shutdown.
        children.stop_all(hurry=hurry)
        shutil.rmtree(folder)


def _start_rabbitmq(children: Children, folder: Path) -> Broker:
    server = find_server()
    if server is None:
        raise StartError("rabbitmq-server is not installed; `make test` installs it where it can")
    return start_rabbitmq(children, folder, server=server)


def _sweep() -> None:
    """End what killed test runs have left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if folder.owner() == Path.home().owner() and not _owner_lives(folder):
            end_orphans(folder / "processes.json")
            shutil.rmtree(folder, ignore_errors=True)


def _owner_lives(folder: Path) -> bool:
    try:
        pid, created = (folder / "owner").read_text().split()
        return psutil.Process(int(pid)).create_time() == float(created)
    except psutil.NoSuchProcess:
        return False
    except (OSError, ValueError):
        return True  # just being made by another run


def _docker_answers() -> bool:
    # In a process of its own: a refused connection leaves an unclosed socket behind, which fails the next test.
    question = "import docker; docker.from_env(timeout=3).ping()"
    return subprocess.run([sys.executable, "-c", question], check=False, capture_output=True).returncode == 0


@contextmanager
def _containers(database: str | None, broker: Broker | None) -> Iterator[tuple[str, Broker]]:
    with ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            openers: list[Callable[[], AbstractContextManager[str | Broker]]] = [
                *([] if database else [_postgres_container]),
                *([] if broker else [_rabbitmq_container]),
            ]
            for opener in openers:
                opened = stack.enter_context(opener())
                if isinstance(opened, Broker):
                    broker = opened
                else:
                    database = opened
        yield database, broker


@contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer

    container = PostgresContainer(POSTGRES_IMAGE, driver=None).with_command(
        "postgres -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=300"
    )
    with container as running:
        yield running.get_connection_url()


@contextmanager
def _rabbitmq_container() -> Iterator[Broker]:
    from testcontainers.rabbitmq import RabbitMqContainer

    with RabbitMqContainer(RABBITMQ_IMAGE).with_exposed_ports(15672) as running:
        host = running.get_container_host_ip()
        credentials = f"{running.username}:{running.password}"
        yield Broker(
            amqp_url=f"amqp://{credentials}@{host}:{running.get_exposed_port(running.port)}",
            management_url=f"http://{credentials}@{host}:{running.get_exposed_port(15672)}",
        )
