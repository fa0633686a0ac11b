"""Fans each event out to the endpoints that want it. Sending them is other work, beside this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver

import sql
from consumers.delivery import Delivery
from consumers.inbox import Connection, Handler, Pool
from consumers.outcome import Done, Handled, Rejected, Skipped
from consumers.settings import ConsumerSettings
from consumers.webhooks.client import open_client
from consumers.webhooks.lookups import Lookups
from consumers.webhooks.reach import Reach, parse_reach
from consumers.webhooks.sender import Pace, Sender


@asynccontextmanager
async def open_handler(settings: ConsumerSettings) -> AsyncIterator[Handler]:
    """Open what webhooks need. Raises `WrongSetting`."""
    reach = parse_reach(settings.webhooks_allowed_networks)
    pace = Pace(
        concurrency=settings.webhooks_concurrency,
        concurrency_each=settings.webhooks_endpoint_concurrency,
        timeout_s=settings.webhooks_timeout_s,
        retry_delays_s=settings.webhooks_retry_delays_s,
        disable_after_s=settings.webhooks_disable_after_s,
        poll_s=settings.webhooks_poll_s,
        grace_s=settings.shutdown_timeout_s,
    )
    yield WebhookHandler(reach, Lookups(), pace)


@dataclass(frozen=True, slots=True)
class WebhookHandler:
    """Handles every event: one delivery for each endpoint that wants it, committed with the inbox row."""

    reach: Reach
    resolver: AbstractResolver
    pace: Pace
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    # For claiming and recording; requests need none.
    connections: int = 4

    async def __call__(self, connection: Connection, delivery: Delivery) -> Done:
        """Write the deliveries down. The message is settled then, however long its receivers take."""
        found = await sql.queries("webhooks").fan_out(connection, event_id=delivery.event_id)
        if not found["events"]:
            raise Rejected("the event is not in the history")
        if not found["deliveries"]:
            return Skipped("no endpoint wants it")
        self._wake_sender()
        return Handled()

    @asynccontextmanager
    async def beside(self, pool: Pool, stop: asyncio.Event) -> AsyncIterator[None]:
        """Send while the block runs, until `stop`."""
        async with open_client(self.reach, resolver=self.resolver, timeout_s=self.pace.timeout_s) as client:
            sender = Sender(pool, client, pace=self.pace, wake=self.wake)
            sending = asyncio.create_task(sender.run(stop))
            # It ends by itself only if it fails; then the process is of no use.
            sending.add_done_callback(lambda _: stop.set())
            try:
                yield
            finally:
                stop.set()
                await sending

    def _wake_sender(self) -> None:
        # The commit comes after us, in the task that handles this message: when that ends, the rows are there to see.
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self.wake.set())
