"""One broker connection for a command that does one thing, and how such commands name a consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import aio_pika
import typer
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from consumers.registry import CONSUMERS, Consumer
from schemas.broker_addresses import connect_to_any
from schemas.topology import ConsumerTopology
from service.commands.output import fail
from service.settings import Settings, SettingsError, load_settings

Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 10.0

QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", help=f"the consumer: {', '.join(CONSUMERS)}")]


def consumer_named(queue: str) -> Consumer:
    """Return the consumer of this name on the command line. Raises `typer.BadParameter`."""
    try:
        return CONSUMERS[queue]
    except KeyError:
        known = ", ".join(CONSUMERS)
        raise typer.BadParameter(f"there is no queue {queue!r}; known: {known}", param_hint="QUEUE") from None


def topology_named(queue: str) -> ConsumerTopology:
    """Return what the consumer of this name owns on the broker. Raises `typer.BadParameter`."""
    return consumer_named(queue).topology(load_settings().worker_retry_delays_s)


def with_broker(work: Callable[[AbstractConnection], Awaitable[Result]]) -> Result:
    """Run `work` with a connection to WAYBILL_AMQP_URL. Raises `SettingsError` if there is no such broker."""
    settings = load_settings()
    settings.require("amqp_url")
    return asyncio.run(_run(settings, work))


async def _run(settings: Settings, work: Callable[[AbstractConnection], Awaitable[Result]]) -> Result:
    async with connected(settings) as connection:
        try:
            return await work(connection)
        except ChannelNotFoundEntity as error:
            raise fail(f"the broker has no such queue ({error}); the worker declares it when it starts") from None
        except AMQPError as error:
            raise fail(f"the broker went away: {error}; what was not finished is unchanged, run it again") from None


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AbstractConnection]:
    """Open a connection to the broker. Raises `SettingsError`."""
    try:
        connection = await connect_to_any(settings.amqp_url, aio_pika.connect, timeout_s=CONNECT_TIMEOUT_S)
    except (AMQPError, OSError, TimeoutError, ValueError) as error:
        raise SettingsError(f"WAYBILL_AMQP_URL: cannot connect to the broker: {type(error).__name__}") from error
    try:
        yield connection
    finally:
        await connection.close()
