"""The servers that are measured, each started when a row first needs it, and ended together."""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import aiohttp

from bench.data import Database, make_database, say
from bench.smtp_sink import find_smtp_sink, sink_command
from service.dev.children import Child, Children, StartError
from service.dev.private_files import free_port
from service.dev.probes import http_answers, port_answers
from service.dev.programs import environment, waybill
from service.dev.servers_postgres import start_postgres
from service.dev.servers_rabbitmq import VHOST, Broker, find_server, start_rabbitmq


class CannotMeasure(Exception):
    """Something that a row needs is not on this machine. The message says what and how to get it."""


@dataclass(frozen=True, slots=True)
class Api:
    """A running API. `pid` is the first of its processes."""

    url: str
    pid: int
    authorization: str
    database: Database
    secret: str = field(repr=False)


class Servers:
    """PostgreSQL at once, the rest on demand. Everything ends with `stop`."""

    def __init__(self, folder: Path, *, scale: int) -> None:
        self.folder = folder
        self._children = Children(roster=folder / "processes.json", logs=folder / "logs")
        self._numbers = count(1)
        self._scale = scale

    def stop(self) -> None:
        """End every server."""
        self._children.stop_all()

    @cached_property
    def postgres_url(self) -> str:
        """Superuser's URL. The server runs with its defaults: every commit is on disk before it is answered."""
        say("starting PostgreSQL")
        return start_postgres(self._children, self.folder / "postgres")

    @cached_property
    def database(self) -> Database:
        """The database of all rows, with as many shipments in it as was asked for."""
        return self.another_database("bench", scale=self._scale)

    def another_database(self, name: str, *, scale: int) -> Database:
        """Create a database with `scale` shipments that have left."""
        say(f"loading {scale:,} shipments and {3 * scale:,} events")
        return make_database(self.postgres_url, name, scale=scale)

    @cached_property
    def broker(self) -> Broker:
        """RabbitMQ: a private node. Raises `CannotMeasure`."""
        server = find_server()
        if server is None:
            raise CannotMeasure("there is no rabbitmq-server; `scripts/broker` installs it")
        say("starting RabbitMQ")
        return start_rabbitmq(self._children, self.folder / "rabbitmq", server=server)

    @property
    def amqp_url(self) -> str:
        """The broker with the virtual host that everything here uses."""
        return f"{self.broker.amqp_url}/{VHOST}"

    @cached_property
    def broker_version(self) -> str:
        """What the broker says it is."""
        address = self.broker.management_url
        credentials, _, host = address.removeprefix("http://").rpartition("@")
        request = urllib.request.Request(
            f"http://{host}/api/overview",
            headers={"Authorization": aiohttp.encode_basic_auth(*credentials.split(":", 1))},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return str(json.load(answer)["rabbitmq_version"])

    @cached_property
    def payment_url(self) -> str:
        """The sandbox payment provider."""
        port = free_port()
        child = self._start(
            "sandbox-provider",
            waybill("sandbox-provider", f"--port={port}", f"--data-dir={self.folder / 'sandbox'}"),
            env=environment({}),
        )
        self._children.wait_until(lambda: port_answers(port), child=child)
        return f"http://127.0.0.1:{port}"

    @property
    def pids(self) -> dict[str, int]:
        """The servers that run all the time, by name."""
        return self._children.pids

    @contextmanager
    def smtp_sink(self, *, dump: Path | None = None) -> Iterator[tuple[str, int]]:
        """Run the compiled mail sink; yield its URL and process id. `dump`: each mail is a file in that folder."""
        program = find_smtp_sink()
        if program is None:
            raise CannotMeasure("there is no smtp-sink; on Debian and Ubuntu `bench/get-smtp-sink` unpacks it")
        port = free_port()
        command, variables = sink_command(program, port, dump=dump)
        with self._few() as children:
            child = children.start("smtp-sink", command, env={**os.environ, **variables})
            children.wait_until(lambda: port_answers(port), child=child)
            yield f"smtp://127.0.0.1:{port}", child.pid

    @contextmanager
    def api(
        self, *, workers: int, database: Database | None = None, payment_url: str = "http://127.0.0.1:9"
    ) -> Iterator[Api]:
        """Run the API with so many processes. Without `payment_url` nobody answers where the provider should be."""
        database = database or self.database
        key_id, secret = database.create_key()
        signing = secrets.token_hex(32)
        port = free_port()
        with self._few() as children:
            child = children.start(
                f"api-{workers}",
                waybill("api", f"--port={port}", f"--workers={workers}"),
                env=self.environment(
                    database=database,
                    WAYBILL_PAYMENT_URL=payment_url,
                    WAYBILL_DOCUMENTS_SECRET=signing,
                ),
            )
            children.wait_until(lambda: http_answers(port, "/readyz"), child=child)
            yield Api(
                url=f"http://127.0.0.1:{port}",
                pid=child.pid,
                authorization=str(aiohttp.encode_basic_auth(key_id, secret)),
                database=database,
                secret=signing,
            )

    @contextmanager
    def process(
        self, name: str, command: list[str], *, ready: Callable[[Child], bool], env: Mapping[str, str]
    ) -> Iterator[Child]:
        """Run one process from when it is ready to the end of the block."""
        with self._few() as children:
            child = children.start(name, command, env=env)
            children.wait_until(lambda: ready(child), child=child)
            yield child

    def environment(self, *, database: Database | None = None, **more: str) -> dict[str, str]:
        """Return what a Waybill process is started with: its defaults, logs as in production, our addresses."""
        ours = {
            "WAYBILL_DATABASE_URL": (database or self.database).url,
            "WAYBILL_LOG_FORMAT": "json",
            "WAYBILL_LOG_LEVEL": "info",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        return {**inherited, **ours, **more}

    def _start(self, name: str, command: list[str], *, env: Mapping[str, str]) -> Child:
        return self._children.start(name, command, env=env)

    @contextmanager
    def _few(self) -> Iterator[Children]:
        number = next(self._numbers)
        children = Children(roster=self.folder / f"processes-{number}.json", logs=self.folder / "logs" / str(number))
        try:
            yield children
        finally:
            children.stop_all()


@contextmanager
def open_servers(folder: Path, *, scale: int) -> Iterator[Servers]:
    """Yield servers whose data is in `folder`, and end them with the block."""
    servers = Servers(folder, scale=scale)
    try:
        yield servers
    except StartError as error:
        raise CannotMeasure(str(error)) from error
    finally:
        servers.stop()
