"""The servers behind Waybill: each is the environment's where that names one, otherwise our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from service.dev.children import Children, StartError, start_together
from service.dev.private_files import free_port, recall, remember
from service.dev.probes import http_answers, port_answers
from service.dev.programs import environment, waybill
from service.dev.servers_container import docker_answers, start_rabbitmq_container
from service.dev.servers_postgres import ensure_database, start_postgres
from service.dev.servers_rabbitmq import VHOST, find_server, start_rabbitmq
from service.settings import Settings

# Addresses by the field of `Backing` that they fill.
_Addresses = dict[str, str]


@dataclass(frozen=True, slots=True)
class Backing:
    """Addresses of the servers. What an outside server does not offer, or we do not know, is None."""

    database_url: str
    amqp_url: str
    smtp_url: str
    payment_url: str
    amqp_page_url: str | None = None
    inbox_url: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the settings that point a process at these servers."""
        return {
            "WAYBILL_DATABASE_URL": self.database_url,
            "WAYBILL_AMQP_URL": self.amqp_url,
            "WAYBILL_SMTP_URL": self.smtp_url,
            "WAYBILL_PAYMENT_URL": self.payment_url,
        }


def start_backing(children: Children, folder: Path, *, settings: Settings) -> Backing:
    """Start every server that the settings do not name, all at once. Raises `StartError`."""
    starters: dict[str, Callable[[Children, Path], _Addresses]] = {
        "database_url": _database,
        "amqp_url": _broker,
        "smtp_url": _inbox,
        "payment_url": _payment_provider,
    }
    addresses: _Addresses = {name: getattr(settings, name) for name in starters if getattr(settings, name)}
    missing = [partial(start, children, folder) for name, start in starters.items() if name not in addresses]
    for started in start_together(children, missing):
        addresses |= started
    return Backing(**addresses)


def _database(children: Children, folder: Path) -> _Addresses:
    admin_url = start_postgres(children, folder / "postgres")
    ensure_database(children, admin_url, "waybill")
    return {"database_url": urlunsplit(urlsplit(admin_url)._replace(path="/waybill"))}


def _broker(children: Children, folder: Path) -> _Addresses:
    server = find_server()
    if server:
        broker = start_rabbitmq(children, folder / "rabbitmq", server=server)
    elif docker_answers():
        broker = start_rabbitmq_container(children, folder / "rabbitmq")
    else:
        raise StartError(
            "there is no RabbitMQ: install `rabbitmq-server` (on Debian and Ubuntu `make run` does, as root or with"
            " sudo), start Docker, or set WAYBILL_AMQP_URL to a broker of yours"
        )
    return {"amqp_url": f"{broker.amqp_url}/{VHOST}", "amqp_page_url": broker.management_url}


def _inbox(children: Children, folder: Path) -> _Addresses:
    smtp, page = _ports(folder / "inbox.json", "smtp", "page")
    arguments = ["inbox", f"--smtp-port={smtp}", f"--http-port={page}", f"--data-dir={folder / 'mail'}"]
    child = children.start("inbox", waybill(*arguments), env=environment({}))
    children.wait_until(lambda: port_answers(smtp) and http_answers(page, "/healthz"), child=child)
    return {"smtp_url": f"smtp://127.0.0.1:{smtp}", "inbox_url": f"http://127.0.0.1:{page}"}


def _payment_provider(children: Children, folder: Path) -> _Addresses:
    (port,) = _ports(folder / "payment-provider.json", "http")
    arguments = ["sandbox-provider", f"--port={port}", f"--data-dir={folder / 'payment-provider'}"]
    child = children.start("payment-provider", waybill(*arguments), env=environment({}))
    children.wait_until(lambda: port_answers(port), child=child)
    return {"payment_url": f"http://127.0.0.1:{port}"}


def _ports(memory: Path, *uses: str) -> list[int]:
    known = recall(memory)
    for use in uses:
        known[use] = free_port(known.get(use), other_than=[known[other] for other in uses if other in known])
    remember(memory, known)
    return [known[use] for use in uses]
