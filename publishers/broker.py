"""One session with the broker, and one publish that says what became of the message.

A session is never repaired: once it has ended, its owner opens a new one. How `Session.publish` ends tells what
happened to the message:

    returns             at least one queue has taken it
    Unroutable          no queue is bound for it; the broker has dropped it
    Refused             the broker has answered that it does not take this message
    SessionEnded        nobody knows, and publishing it again may make it a duplicate:
      ConnectionLost      an outage
      Blamed              the broker hung up because of something that was published on this session
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection, AbstractMessage
from aio_pika.exceptions import (
    AMQPChannelError,
    AMQPError,
    ConnectionClosed,
    DeliveryError,
    InvalidFrameError,
    PublishError,
)
from pamqp.exceptions import PAMQPException
from yarl import URL

from schemas.broker_addresses import connect_to_any, virtual_host
from schemas.topology import TOPIC

HEARTBEAT_S: Final = 15
OPEN_TIMEOUT_S: Final = 20.0
CLOSE_TIMEOUT_S: Final = 3.0


class Unroutable(Exception):
    """No queue is bound for the message."""


class Refused(Exception):
    """The broker does not take the message."""


class SessionEnded(Exception):
    """The session with the broker is over, or could not be opened."""


class ConnectionLost(SessionEnded):
    """The broker, or the way to it, is gone."""


class Blamed(SessionEnded):
    """The broker ended the session because of something that was published on it, without saying what."""


class Session:
    """A channel in confirm mode, of no use once `ended` is set. `reason` then says why.

    `refused`: the broker has refused something on it.
    """

    def __init__(self, channel: aiormq.Channel) -> None:
        self.ended = asyncio.Event()
        self.reason = ""
        self.refused = False
        self._channel = channel

    def end(self, reason: str) -> None:
        """Give the session up."""
        self.reason = self.reason or reason
        self.ended.set()

    async def publish(self, message: AbstractMessage, *, exchange: str, routing_key: str) -> None:
        """Publish and wait for the confirmation; the deadline is the caller's.

        The same `message_id` must not be in flight twice: the client library tells returned messages apart by it.
        Raises `Unroutable`, `Refused`, `SessionEnded`, and ValueError or TypeError if the message cannot be encoded.
        """
        with _session_ended():
            try:
                # aio-pika's own publish also waits until the socket has taken each message before the next may follow.
                # A batch is small, so it need not; that is a tenth more events per second.
                await self._channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=True,
                    wait=False,
                )
            except PublishError as returned:  # before DeliveryError, of which it is a kind
                raise Unroutable(f"no queue is bound for {routing_key!r}") from returned
            except DeliveryError as refusal:
                self.refused = True
                raise Refused(str(refusal)) from refusal


async def _nothing(_: AbstractConnection) -> None:
    pass


@asynccontextmanager
async def open_session(
    amqp_url: str, *, name: str, prepare: Callable[[AbstractConnection], Awaitable[None]] = _nothing
) -> AsyncIterator[Session]:
    """Connect, run `prepare` (to declare queues), and open a channel with the topic declared. Raises `SessionEnded`.

    `amqp_url` may list several nodes of a cluster. `name` shows in the broker's list of connections. What else
    `prepare` raises passes through.
    """
    with _session_ended():
        connection = await connect_to_any(amqp_url, partial(_connect, name=name), timeout_s=OPEN_TIMEOUT_S)
    try:
        with _session_ended():
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await prepare(connection)
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.declare_exchange(TOPIC, aio_pika.ExchangeType.TOPIC, durable=True)
                session = Session(cast("aiormq.Channel", await channel.get_underlay_channel()))
                channel.close_callbacks.add(lambda _channel, error: session.end(_told(error)))
        yield session
    finally:
        # Bounded: a broker that does not answer must not keep us from leaving.
        with suppress(SessionEnded), _session_ended():
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.close()


async def _connect(address: str, *, name: str) -> AbstractConnection:
    # A link that hangs is then noticed within a minute instead of three.
    heartbeat = URL(address).query.get("heartbeat", HEARTBEAT_S)
    try:
        return await aio_pika.connect(address, name=name, heartbeat=heartbeat)
    except InvalidFrameError as error:
        # The client's way of saying that the broker has closed the connection instead of opening it.
        vhost = virtual_host(address)
        raise ConnectionLost(f"cannot enter the virtual host {vhost!r}: is it there, with permissions?") from error


@contextmanager
def _session_ended() -> Iterator[None]:
    """Turn each way in which the client libraries tell of a lost session into `SessionEnded`."""
    try:
        yield
    except asyncio.CancelledError as error:
        # The library also cancels what waits on a connection that goes away. Only our own cancellation stays one.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionLost("the connection went away") from error
    except (AMQPError, PAMQPException, OSError, RuntimeError) as error:
        blamed = isinstance(error, AMQPChannelError) or (
            isinstance(error, ConnectionClosed) and type(error) is not ConnectionClosed
        )
        raise (Blamed if blamed else ConnectionLost)(_told(error)) from error


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ") if error else "closed"
