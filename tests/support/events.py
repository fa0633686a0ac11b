"""The broker from outside: publishes events as a relay does and looks into queues, with plain aio-pika."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from schemas.events import EventType, shipment_event
from schemas.topology import TOPIC
from tests.support.rows import TRACEPARENT, ShipmentRow, event_data
from tests.support.waiting import until


class Topic:
    """The topic and the queues behind it."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel

    async def tell(
        self,
        shipment: ShipmentRow,
        *,
        kind: EventType = EventType.SHIPMENT_SHIPPED,
        event_id: UUID | None = None,
        queue: str | None = None,
        **data: Any,
    ) -> UUID:
        """Publish an event about `shipment` and return its id; `data` overrides fields by their Python names."""
        body = shipment_event(kind, event_data(shipment, **data)).model_dump_json(by_alias=True).encode()
        event_id = event_id or uuid4()
        await self.publish(body, event_id=event_id, kind=kind, queue=queue)
        return event_id

    async def publish(
        self,
        body: bytes,
        *,
        event_id: UUID | str | None,
        kind: EventType = EventType.SHIPMENT_SHIPPED,
        queue: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Publish any body to the topic, or to one `queue`."""
        message = aio_pika.Message(
            body,
            headers={
                "ce-type": kind.value,
                "traceparent": TRACEPARENT,
                "waybill-request-id": "req-1",
                **(headers or {}),
            },
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=None if event_id is None else str(event_id),
        )
        topic = await self.channel.get_exchange(TOPIC, ensure=False)
        exchange = self.channel.default_exchange if queue else topic
        await exchange.publish(message, queue or kind.value, timeout=10)

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in `queue`, those that a consumer holds not counted."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def wait_for_depth(self, queue: str, number: int) -> None:
        """Return once exactly `number` messages wait in `queue`."""

        async def reached() -> bool:
            return await self.depth(queue) == number

        await until(reached)

    async def take(self, queue: str) -> AbstractIncomingMessage:
        """Take the first message off `queue`, waiting for one."""
        declared = await self.channel.declare_queue(queue, passive=True)
        taken: list[AbstractIncomingMessage] = []

        async def arrived() -> bool:
            message = await declared.get(no_ack=True, fail=False)
            taken.extend([message] if message else [])
            return bool(taken)

        await until(arrived)
        return taken[0]


@asynccontextmanager
async def open_topic(amqp_url: str) -> AsyncIterator[Topic]:
    """Connect to the broker as somebody else."""
    async with await aio_pika.connect(amqp_url) as connection:
        yield Topic(await connection.channel(publisher_confirms=True, on_return_raises=True))
