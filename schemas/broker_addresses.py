"""The addresses of one broker: that of its only node, or of several nodes of a cluster."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import structlog

Connection = TypeVar("Connection")

# Only before another address: a password may hold a comma.
_BETWEEN: Final = re.compile(r"\s*,\s*(?=amqps?://)")

log = structlog.get_logger()


def split_addresses(amqp_url: str) -> tuple[str, ...]:
    """Return the addresses that stand in `amqp_url`, separated by commas; at least one."""
    return tuple(_BETWEEN.split(amqp_url.strip().rstrip(",")))


def virtual_host(address: str) -> str:
    """Return the virtual host that an address names."""
    return unquote(urlsplit(address).path[1:]) or "/"


async def connect_to_any(
    amqp_url: str, connect: Callable[[str], Awaitable[Connection]], *, timeout_s: float
) -> Connection:
    """Return the first connection that comes about. Raises what the last address has raised, `TimeoutError` included.

    The order is a new one each time: workers spread over the nodes, and none insists on a node that takes connections
    and then fails. Each address has its share of `timeout_s`, or a node that hangs would use up the time of the others.
    """
    addresses = split_addresses(amqp_url)
    share_s = timeout_s / len(addresses)
    *others, last = random.sample(addresses, len(addresses))
    for address in others:
        try:
            async with asyncio.timeout(share_s):
                return await connect(address)
        except Exception as error:  # noqa: BLE001 - whatever it is, another node may not have it
            log.warning("broker_node_failed", node=_node(address), reason=f"{type(error).__name__}: {error}")
    async with asyncio.timeout(share_s):
        return await connect(last)


def _node(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2]
