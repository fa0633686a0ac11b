"""The other consumers beside the load: a partner's webhooks, and orders that another system publishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika

from consumers.registry import CONSUMERS
from schemas.topology import TOPIC
from tests.faults.stack import Stack
from tests.support.order_events import encoded, order_event
from tests.support.waiting import until
from tests.support.webhooks import LOOPBACK, Receiver, add, receiving

# What the stack's processes must be told so that they may reach a receiver on this machine.
SETTINGS = {"webhooks_allowed_networks": LOOPBACK}
ORDER_INTAKE = CONSUMERS["order-intake"].name
PLANNED = {"shipments.0.status": "INVENTORY_ASSIGNED"}


@dataclass
class Bystanders:
    """A partner who is sent webhooks, and a shop that announces orders and releases them."""

    stack: Stack
    receiver: Receiver
    channel: aio_pika.abc.AbstractChannel
    announced: int = 0
    enough: bool = False

    async def announce(self, *, rate: float) -> None:
        """Announce so many orders a second until it is enough."""
        loop = asyncio.get_running_loop()
        exchange = await self.channel.get_exchange(TOPIC, ensure=False)
        began = loop.time()
        while not self.enough:
            await asyncio.sleep(began + self.announced / rate - loop.time())
            self.announced += 1
            number = str(900000 + self.announced)
            changes = {"orderNumber": number, "payment.authorization": f"sandbox:ok#{number}", **PLANNED}
            for kind in ("created", "released"):
                message = aio_pika.Message(encoded(order_event(kind, changes)), message_id=f"ID:{kind}-{number}")
                await exchange.publish(message, f"order-{kind}", mandatory=True)

    async def finish(self, *, timeout_s: float) -> list[str]:
        """Announce no more; wait until everything has been taken in and told, and return what has not."""
        self.enough = True
        query = "SELECT count(*) >= $1 FROM inbox WHERE consumer = $2"

        async def taken_in_and_told() -> bool:
            taken_in = await self.stack.pool.fetchval(query, 2 * self.announced, ORDER_INTAKE)
            return bool(taken_in) and await self._all_told()

        try:
            await until(taken_in_and_told, timeout=timeout_s)
        except TimeoutError:
            return [f"orders or webhooks are missing: {self.announced} announced, {len(self.receiver.ids())} told"]
        return []

    async def _all_told(self) -> bool:
        if await self.stack.pool.fetchval("SELECT count(*) FROM events") > len(self.receiver.accepted):
            return False
        events = await self.stack.pool.fetch("SELECT id::text AS id FROM events")
        return {row["id"] for row in events} <= set(self.receiver.ids())


@asynccontextmanager
async def open_bystanders(stack: Stack, *, rate: float) -> AsyncIterator[Bystanders]:
    """Run both workers until the block ends, and have `rate` orders announced a second meanwhile."""
    async with receiving() as receiver, await aio_pika.connect(stack.subscriber.amqp_url) as connection:
        await add(stack.pool, receiver)
        await stack.start_other("worker", "webhooks", line="worker_started")
        await stack.start_other("worker", "order-intake", line="worker_started")
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        bystanders = Bystanders(stack, receiver, channel)
        announcing = asyncio.create_task(bystanders.announce(rate=rate))
        try:
            yield bystanders
        finally:
            announcing.cancel()
            await asyncio.wait([announcing])
