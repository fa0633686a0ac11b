"""A consumer in the test's own event loop, with its real handler and its real session with the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from consumers.inbox import Handler
from consumers.registry import CONSUMERS
from consumers.runtime import run
from consumers.session import Broker
from consumers.work import Work
from schemas.topology import ConsumerTopology
from service.settings import Settings
from service.wiring import open_pool

EMAIL = CONSUMERS["email"]


@dataclass
class Worker:
    """A running consumer. `consuming` is set while it takes messages."""

    topology: ConsumerTopology
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    consuming: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def working(
    settings: Settings, *, handler: Handler | None = None, grace_s: float = 10, handler_timeout_s: float | None = None
) -> AsyncIterator[Worker]:
    """Run the mail consumer, or `handler` in its place, until the block ends; its failure fails the test."""
    worker = Worker(EMAIL.topology(settings.worker_retry_delays_s))
    async with (
        EMAIL.open_handler(settings) as emailing,
        open_pool(settings, name="worker", size=settings.worker_concurrency + 1) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        work = Work(worker.topology, pool, handler or emailing, handler_timeout_s or settings.worker_handler_timeout_s)
        broker = Broker(settings.amqp_url, settings.worker_concurrency, settings.publish_timeout_s, grace_s)
        tasks.create_task(run(broker, work, stop=worker.stop, consuming=worker.consuming))
        async with asyncio.timeout(20):
            await worker.consuming.wait()
        try:
            yield worker
        finally:
            worker.stop.set()
