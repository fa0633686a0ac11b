"""Three RabbitMQ nodes of one cluster, all on this machine, of which any may be killed and started again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.dev.children import Child, Children, start_together
from service.dev.private_files import free_port
from service.dev.probes import port_answers
from service.dev.servers_rabbitmq import (
    USER,
    VHOST,
    find_epmd,
    is_broker_ready,
    node_environment,
    write_configuration,
)
from tests.support.servers import throw_away_children
from tests.support.vhosts import management

NODES = 3
# A node that has nothing to do otherwise keeps its cores busy for a while, and there are three on this machine's.
IDLE = " +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass
class Node:
    """One node. `child` is None while it takes no clients."""

    name: str
    folder: Path
    known: dict[str, Any]
    child: Child | None = None

    @property
    def amqp_url(self) -> str:
        return f"amqp://{USER}:{self.known['password']}@127.0.0.1:{self.known['amqp']}/{VHOST}"

    @property
    def management_url(self) -> str:
        return f"http://{USER}:{self.known['password']}@127.0.0.1:{self.known['management']}"


class Cluster:
    """The nodes, in the order of their names."""

    def __init__(self, children: Children, nodes: list[Node], server: str) -> None:
        self._children, self.nodes, self._server = children, nodes, server

    @property
    def amqp_url(self) -> str:
        """The address of every node, as an operator lists them."""
        return ",".join(node.amqp_url for node in self.nodes)

    def start(self, node: Node) -> None:
        """Start a node, and wait until it takes clients."""
        environment = node_environment(node.folder, node.known, node=node.name)
        environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] += IDLE
        child = self._children.start(node.name.partition("@")[0], [self._server], env=environment)
        ready = partial(is_broker_ready, node.known["management"], node.known["password"])
        self._children.wait_until(ready, child=child)
        node.child = child

    def start_all(self) -> None:
        """Start every node."""
        start_together(self._children, [partial(self.start, node) for node in self.nodes])

    def kill(self, node: Node) -> None:
        """Crash a node: kill -9, without a word to the others."""
        assert node.child is not None
        node.child.process.kill()
        node.child.process.wait()
        node.child = None

    def ask(self, path: str) -> Any:
        """Return what the management API of a node that runs answers to a GET."""
        node = next(node for node in self.nodes if node.child is not None)
        return management(node.management_url, "GET", path)

    def running(self) -> set[str]:
        """Return the names of the nodes that the cluster has and that run."""
        return {node["name"] for node in self.ask("nodes") if node["running"]}

    def queue(self, name: str) -> dict[str, Any]:
        """Return what the cluster says about a queue: `leader`, `members`, `online`, `messages` …"""
        found: dict[str, Any] = self.ask(f"queues/{VHOST}/{quote(name, safe='')}")
        return found

    def connected_to(self, connection_name: str) -> set[str]:
        """Return the names of the nodes that have a connection of this name."""
        # A connection that is just opening has no name yet.
        return {each["node"] for each in self.ask("connections") if each.get("user_provided_name") == connection_name}


@contextmanager
def open_cluster(server: str) -> Iterator[Cluster]:
    """Provide a running cluster of the installed `server`; nothing of it is left afterwards. Raises `StartError`."""
    with throw_away_children() as (children, folder):
        nodes = _nodes(folder)
        members = [f"cluster_formation.classic_config.nodes.{n} = {node.name}" for n, node in enumerate(nodes, 1)]
        for node in nodes:
            write_configuration(
                node.folder, node.known, more=["cluster_formation.peer_discovery_backend = classic_config", *members]
            )
        mapper_port = nodes[0].known["epmd"]
        mapper = children.start("epmd", [find_epmd(), "-port", str(mapper_port), "-address", "127.0.0.1"])
        children.wait_until(lambda: port_answers(mapper_port), child=mapper)
        cluster = Cluster(children, nodes, server)
        cluster.start_all()
        assert cluster.running() == {node.name for node in nodes}
        yield cluster


def _nodes(folder: Path) -> list[Node]:
    known = {"password": secrets.token_urlsafe(24), "cookie": secrets.token_hex(20), "epmd": free_port()}
    taken = [known["epmd"]]
    nodes = []
    for n in range(1, NODES + 1):
        ports = {}
        for use in ("amqp", "management", "distribution"):
            ports[use] = free_port(other_than=taken)
            taken.append(ports[use])
        nodes.append(Node(f"waybill-{n}@localhost", folder / f"node-{n}", {**known, **ports}))
        nodes[-1].folder.mkdir()
    return nodes
