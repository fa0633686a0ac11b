"""A consumer in the test's own event loop, with a real session with the broker and real transactions."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from consumers.broker import Broker
from consumers.delivery import Delivery
from consumers.inbox import Handler
from consumers.outcome import Done, Handled
from consumers.registry import CONSUMERS, Consumer
from consumers.runtime import run
from consumers.work import Work
from schemas.topology import ConsumerTopology
from service.commands.worker import USE_CASES
from service.settings import Settings
from service.wiring import open_pool

EMAIL = CONSUMERS["email"]
# The same, as if its handler did nothing outside the database.
GROUPED = dataclasses.replace(EMAIL, together=True)


@dataclass
class Worker:
    """A running consumer. `consuming` is set while it takes messages."""

    topology: ConsumerTopology
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    consuming: asyncio.Event = field(default_factory=asyncio.Event)

    async def start_consuming(self) -> None:
        """Return once it takes messages."""
        async with asyncio.timeout(30):
            await self.consuming.wait()


@asynccontextmanager
async def working(
    settings: Settings,
    *,
    consumer: Consumer = EMAIL,
    handler: Handler | None = None,
    around: Callable[[Handler], Handler] = lambda handling: handling,
    grace_s: float = 10,
) -> AsyncIterator[Worker]:
    """Run a consumer, or `handler` in place of its own, until the block ends. `around` wraps its own handler."""
    worker = Worker(consumer.topology(settings.worker_retry_delays_s))
    async with (
        consumer.open_handler(settings, USE_CASES) as handling,
        open_pool(settings, name="worker", size=settings.worker_concurrency + 1) as pool,
    ):
        work = Work(
            worker.topology,
            pool,
            handler or around(handling),
            settings.worker_handler_timeout_s,
            read=consumer.read,
            subject=consumer.subject,
            together=consumer.together,
        )
        broker = Broker(settings.amqp_url, settings.worker_concurrency, settings.publish_timeout_s, grace_s)
        running = asyncio.create_task(run(broker, work, stop=worker.stop, consuming=worker.consuming))
        ready = asyncio.create_task(worker.start_consuming())
        try:
            await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            await ready
            yield worker
        finally:
            ready.cancel()
            worker.stop.set()
            async with asyncio.timeout(30):
                await running


class Recorder:
    """A handler that keeps what it is given, does what `act` says, and can be held up."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.finished: list[Delivery] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.act: Callable[[Delivery], Any] = lambda _delivery: None
        self._changed = asyncio.Condition()

    async def __call__(self, connection: object, delivery: Delivery) -> Done:
        await self._note(self.deliveries, delivery)
        await self.go_on.wait()
        self.act(delivery)
        await self._note(self.finished, delivery)
        return Handled()

    async def begun(self, number: int) -> None:
        """Return once it has been given `number` messages."""
        await self._wait(lambda: len(self.deliveries) >= number)

    async def ended(self, number: int) -> None:
        """Return once it has handled `number` messages."""
        await self._wait(lambda: len(self.finished) >= number)

    async def _note(self, where: list[Delivery], delivery: Delivery) -> None:
        async with self._changed:
            where.append(delivery)
            self._changed.notify_all()

    async def _wait(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(reached)
