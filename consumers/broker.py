"""The broker as a consumer meets it: one plain connection per session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError
from yarl import URL

from schemas.broker_addresses import connect_to_any

OPEN_TIMEOUT_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 5.0
# A dead link is noticed after three of them.
HEARTBEAT_S: Final = 15

# What talking to a broker that is away, or goes away, raises.
BROKER_ERRORS: Final = (AMQPError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to consume, how many messages at once, and how long running handlers may go on after the end.

    `amqp_url` may list several nodes of a cluster.
    """

    amqp_url: str = field(repr=False)
    concurrency: int
    publish_timeout_s: float
    grace_s: float


@asynccontextmanager
async def open_connection(broker: Broker, *, name: str) -> AsyncIterator[AbstractConnection]:
    """Connect; `name` is what the broker lists. Raises any of `BROKER_ERRORS`; closing never raises."""
    connection = await connect_to_any(broker.amqp_url, partial(_connect, name=name), timeout_s=OPEN_TIMEOUT_S)
    try:
        yield connection
    finally:
        with suppress(*BROKER_ERRORS):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.close()


async def _connect(address: str, *, name: str) -> AbstractConnection:
    url = URL(address)
    if "heartbeat" not in url.query:
        url = url.update_query(heartbeat=HEARTBEAT_S)
    return await aio_pika.connect(url, client_properties={"connection_name": name})
