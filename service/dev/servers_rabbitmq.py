"""A private RabbitMQ node of the installed `rabbitmq-server`. The system's own node is never touched."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.dev.children import Children, StartError
from service.dev.private_files import free_port, recall, remember, write_private
from service.dev.probes import http_answers, port_answers

USER = "waybill"
VHOST = "waybill"
# A fixed host part: the node's data survives a change of the machine's name.
NODE = "waybill@localhost"
_PORTS = ("amqp", "management", "distribution", "epmd")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker answers. `amqp_url` has no virtual host; `management_url` carries the same credentials."""

    amqp_url: str
    management_url: str


def find_server() -> str | None:
    """Return the path of `rabbitmq-server`, preferring the real script to a wrapper that changes the user."""
    return next((str(path) for path in _candidates() if os.access(path, os.X_OK)), None)


def start_rabbitmq(children: Children, folder: Path, *, server: str) -> Broker:
    """Start the node whose data is in `folder`, made on the first start. Raises `StartError`."""
    epmd = find_epmd()
    if "'" in str(folder):
        # Its disk monitor puts the path between such quotes for a shell, and then waits for ever.
        raise StartError(f"RabbitMQ cannot work in {folder}, because of the quote; choose another --data-dir")
    memory = folder / "server.json"
    folder.mkdir(parents=True, exist_ok=True)
    known = recall(memory) or {"password": secrets.token_urlsafe(24), "cookie": secrets.token_hex(20)}
    for use in _PORTS:
        known[use] = free_port(known.get(use), other_than=[known[other] for other in _PORTS if other in known])
    remember(memory, known)
    write_configuration(folder, known)
    environment = node_environment(folder, known)

    mapper = children.start("epmd", [epmd, "-port", str(known["epmd"]), "-address", "127.0.0.1"], env=environment)
    children.wait_until(lambda: port_answers(known["epmd"]), child=mapper)
    node = children.start("rabbitmq", [server], env=environment)
    broker = Broker(
        amqp_url=f"amqp://{USER}:{known['password']}@127.0.0.1:{known['amqp']}",
        management_url=f"http://{USER}:{known['password']}@127.0.0.1:{known['management']}",
    )
    children.wait_until(lambda: is_broker_ready(known["management"], known["password"]), child=node)
    return broker


def is_broker_ready(management_port: int, password: str) -> bool:
    """Ask the management API, which starts before the AMQP listener does, whether the latter is there."""
    return http_answers(management_port, "/api/health/checks/protocol-listener/amqp", credentials=f"{USER}:{password}")


def _candidates() -> Iterator[Path]:
    yield Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    for base in (Path("/usr/lib/rabbitmq/lib"), Path("/opt"), Path("/usr/local/lib")):
        yield from sorted(base.glob("rabbitmq*/sbin/rabbitmq-server"), reverse=True)
    found = shutil.which("rabbitmq-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found:
        yield Path(found)


def find_epmd() -> str:
    """Return the path of Erlang's port mapper. Raises `StartError`."""
    bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), reverse=True)
    path = shutil.which("epmd") or next((str(path) for path in bundled), None)
    if path is None:
        raise StartError("rabbitmq-server is installed but Erlang's `epmd` is not on the PATH")
    return path


def write_configuration(folder: Path, known: dict[str, Any], *, more: Sequence[str] = ()) -> None:
    """Write what the node reads at its start: ports, password and cookie of `known`, then the lines of `more`."""
    for name in ("conf.d", "log"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (folder / "rabbitmq-env.conf").write_text("")
    (folder / "advanced.config").write_text("[].\n")
    write_private(
        folder / "rabbitmq.conf",
        "\n".join(
            (
                f"listeners.tcp.1 = 127.0.0.1:{known['amqp']}",
                "management.tcp.ip = 127.0.0.1",
                f"management.tcp.port = {known['management']}",
                f"default_user = {USER}",
                f"default_pass = {known['password']}",
                f"default_vhost = {VHOST}",
                "vm_memory_high_watermark.relative = 0.4",
                "disk_free_limit.absolute = 64MB",
                "log.console = true",
                "log.console.level = info",
                *more,
                "",
            )
        ),
    )
    cookie = folder / ".erlang.cookie"
    write_private(cookie, known["cookie"])
    cookie.chmod(0o400)


def node_environment(folder: Path, known: dict[str, Any], *, node: str = NODE) -> dict[str, str]:
    """Return the environment of the node whose data is in `folder`, and of its tools."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RABBITMQ_", "ERL_", "WAYBILL_", "NOTIFY_SOCKET"))
    }
    here = {
        "CONF_ENV_FILE": "rabbitmq-env.conf",
        "CONFIG_FILE": "rabbitmq.conf",
        "CONFIG_FILES": "conf.d",
        "ADVANCED_CONFIG_FILE": "advanced.config",
        "ENABLED_PLUGINS_FILE": "enabled_plugins",
        "MNESIA_BASE": "mnesia",
        "LOG_BASE": "log",
        "PID_FILE": "pid",
    }
    return inherited | {
        **{f"RABBITMQ_{name}": str(folder / path) for name, path in here.items()},
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(known["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(known["distribution"]),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -shutdown_time 2000",
        # The start script then becomes the server instead of standing between it and our signals.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
