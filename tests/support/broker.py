"""Somebody else's queue on the topic, and a session that a test can meddle with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from publishers.broker import Session
from schemas.topology import TOPIC
from tests.support.waiting import until


class Subscriber:
    """A queue, and what has been read from it so far."""

    def __init__(self, channel: AbstractChannel, queue: aio_pika.abc.AbstractQueue) -> None:
        self.channel = channel
        self.queue = queue
        self.messages: list[AbstractIncomingMessage] = []

    async def read(self) -> list[str]:
        """Read what the queue holds now; return the message ids of all that it ever held, in order."""
        while message := await self.queue.get(no_ack=True, fail=False):
            self.messages.append(message)
        return [message.message_id or "" for message in self.messages]

    async def wait_for(self, ids: Any) -> list[str]:
        """Read until every one of `ids` has come; return all that has."""
        wanted = {str(each) for each in ids}

        async def complete() -> bool:
            return wanted <= set(await self.read())

        await until(complete)
        return await self.read()


@asynccontextmanager
async def subscribe(
    amqp_url: str, *routing_keys: str, queue: str = "somebody-else", arguments: dict[str, Any] | None = None
) -> AsyncIterator[Subscriber]:
    """Bind a queue to the topic, as somebody outside the project does; it stays there afterwards."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        topic = await channel.declare_exchange(TOPIC, aio_pika.ExchangeType.TOPIC, durable=True)
        declared = await channel.declare_queue(queue, durable=True, arguments=arguments)
        for routing_key in routing_keys:
            await declared.bind(topic, routing_key)
        yield Subscriber(channel, declared)


async def _nothing(_: int) -> None:
    pass


class Meddled:
    """A real session with something happening before or after each publish, which is told its number, from 1."""

    def __init__(
        self,
        session: Session,
        *,
        before: Callable[[int], Awaitable[None]] = _nothing,
        after: Callable[[int], Awaitable[None]] = _nothing,
    ) -> None:
        self._session, self._before, self._after = session, before, after
        self._begun = self._taken = 0
        self.ended, self.end = session.ended, session.end

    @property
    def refused(self) -> bool:
        return self._session.refused

    async def publish(self, message: Any, **where: str) -> None:
        self._begun += 1
        await self._before(self._begun)
        await self._session.publish(message, **where)
        self._taken += 1
        await self._after(self._taken)
