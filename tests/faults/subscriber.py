"""A subscriber outside the project: a quorum queue of its own, and everything that has ever come to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aio_pika
from aiormq.exceptions import AMQPError

from consumers.depths import depths
from schemas.events import EventType
from schemas.topology import TOPIC, ConsumerTopology
from tests.faults.books import Received
from tests.faults.reading import Depth

QUEUE = "an-independent-subscriber"
BROKER_ERRORS = (AMQPError, OSError, TimeoutError)
CONNECT_AGAIN_S = 0.2


@dataclass
class Subscriber:
    """What has come, in order, and with it what came again."""

    amqp_url: str
    received: list[Received] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def depth(self, topology: ConsumerTopology) -> Depth:
        """Return how full a consumer's queues are; a queue that was never made is empty."""
        async with await aio_pika.connect(self.amqp_url) as connection:
            found = await depths(connection, topology)
        return Depth(waiting=(found.ready or 0) + found.retrying, dead=found.dead)

    async def receive(self) -> None:
        """Receive for ever, connecting again whenever the broker was away."""
        while True:
            with suppress(*BROKER_ERRORS):
                async with await aio_pika.connect(self.amqp_url) as connection:
                    await self._consume(connection)
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def _consume(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=200)
        topic = await channel.declare_exchange(TOPIC, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        for kind in EventType:
            await queue.bind(topic, kind.value)
        async with queue.iterator() as messages:
            self.ready.set()
            async for message in messages:
                event_id = message.message_id or ""
                self.received.append(Received(event_id, message.routing_key or "", message.body.decode()))
                self.ids.add(event_id)
                await message.ack()


@asynccontextmanager
async def subscribe(amqp_url: str) -> AsyncIterator[Subscriber]:
    """Receive every event until the block ends."""
    subscriber = Subscriber(amqp_url)
    receiving = asyncio.create_task(subscriber.receive())
    try:
        async with asyncio.timeout(60):
            await subscriber.ready.wait()
        yield subscriber
    finally:
        receiving.cancel()
        with suppress(asyncio.CancelledError):
            await receiving
