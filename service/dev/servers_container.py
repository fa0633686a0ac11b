"""RabbitMQ in a container, for machines without `rabbitmq-server` whose Docker engine answers."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
from pathlib import Path

from service.dev.children import Children
from service.dev.private_files import free_port, recall, remember, write_private
from service.dev.servers_rabbitmq import USER, VHOST, Broker, is_broker_ready

IMAGE = "rabbitmq:3.13-management"
ANSWER_TIMEOUT_S = 5.0


def docker_answers() -> bool:
    """Tell whether there is a Docker command line with an engine behind it."""
    if shutil.which("docker") is None:
        return False
    try:
        return _docker("version", "--format", "{{.Server.Version}}") == 0
    except subprocess.TimeoutExpired:
        return False


def start_rabbitmq_container(children: Children, folder: Path) -> Broker:
    """Start a broker whose data is in a Docker volume that belongs to `folder`. Raises `StartError`."""
    folder.mkdir(parents=True, exist_ok=True)
    name, memory = _name(folder), folder / "container.json"
    known = recall(memory) or {"password": secrets.token_urlsafe(24)}
    known["amqp"] = free_port(known.get("amqp"))
    known["management"] = free_port(known.get("management"), other_than=[known["amqp"]])
    remember(memory, known)
    # A file, because a command line can be read by every user of the machine.
    variables = folder / "container.env"
    write_private(
        variables,
        f"RABBITMQ_DEFAULT_USER={USER}\nRABBITMQ_DEFAULT_PASS={known['password']}\nRABBITMQ_DEFAULT_VHOST={VHOST}\n",
    )
    children.run("rabbitmq-pull", ["docker", "pull", IMAGE])
    _docker("rm", "--force", name)  # what a killed supervisor has left running
    container = children.start(
        "rabbitmq",
        [
            "docker",
            "run",
            "--rm",
            f"--name={name}",
            # The node is named after the host, and its data after the node.
            "--hostname=waybill",
            f"--env-file={variables}",
            f"--volume={name}:/var/lib/rabbitmq",
            f"--publish=127.0.0.1:{known['amqp']}:5672",
            f"--publish=127.0.0.1:{known['management']}:15672",
            IMAGE,
        ],
    )
    children.wait_until(lambda: is_broker_ready(known["management"], known["password"]), child=container)
    return Broker(
        amqp_url=f"amqp://{USER}:{known['password']}@127.0.0.1:{known['amqp']}",
        management_url=f"http://{USER}:{known['password']}@127.0.0.1:{known['management']}",
    )


def delete_container_data(folder: Path) -> None:
    """Delete the volume that belongs to `folder`, if there was ever one."""
    if (folder / "container.json").exists() and docker_answers():
        _docker("rm", "--force", _name(folder))
        _docker("volume", "rm", "--force", _name(folder))


def _name(folder: Path) -> str:
    return f"waybill-rabbitmq-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def _docker(*arguments: str) -> int:
    return subprocess.run(
        ["docker", *arguments],  # noqa: S607 - the user's own
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ANSWER_TIMEOUT_S,
    ).returncode
