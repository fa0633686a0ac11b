"""One session with the broker: connect, declare, consume until something ends it, drain, close.

Connections are plain ones. A client that reconnects by itself keeps channel state that is no longer true; here
everything that belongs to a connection lives and dies with it (ADR 0005).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from aio_pika.abc import AbstractChannel, AbstractQueueIterator

from consumers import topology
from consumers.broker import BROKER_ERRORS, CLOSE_TIMEOUT_S, OPEN_TIMEOUT_S, Broker, open_connection
from consumers.ending import End, Lost, Stopped
from consumers.handling import Handling
from consumers.settle import CopyPublisher
from consumers.work import Work

log = structlog.get_logger()


async def consume(broker: Broker, work: Work, *, stop: asyncio.Event, consuming: asyncio.Event) -> End:
    """Consume until told to stop or unable to go on; return why it ended.

    `consuming` is set while messages are taken. Raises `TopologyMismatch`, and any of `BROKER_ERRORS` if the session
    never came to consume.
    """
    async with AsyncExitStack() as stack:
        async with _opening(stop):
            connection = await stack.enter_async_context(
                open_connection(broker, name=f"waybill {work.topology.consumer}")
            )
            await topology.declare(connection, work.topology)
            copies = await connection.channel(publisher_confirms=True, on_return_raises=True)
            channel = await connection.channel()
            session = _Session(work, CopyPublisher(copies, timeout_s=broker.publish_timeout_s), broker.concurrency)
            await session.end_with(channel, copies)
            await channel.set_qos(prefetch_count=session.handling.prefetch)
            messages = (await channel.get_queue(work.topology.work.name, ensure=False)).iterator()
            await messages.consume()
        log.info("consumer_session_started", queue=work.topology.work.name, concurrency=broker.concurrency)
        consuming.set()
        try:
            end = await session.take(messages, stop)
            consuming.clear()
            await session.handling.drain(broker.grace_s)
        finally:
            consuming.clear()
            await session.handling.cut()
        return end


@asynccontextmanager
async def _opening(stop: asyncio.Event) -> AsyncIterator[None]:
    """Bound the block by `OPEN_TIMEOUT_S` and by `stop`, whichever comes first. Raises `TimeoutError`."""

    async def hurry() -> None:
        await stop.wait()
        deadline.reschedule(asyncio.get_running_loop().time())

    async with asyncio.timeout(OPEN_TIMEOUT_S) as deadline:
        hurrying = asyncio.create_task(hurry())
        try:
            yield
        finally:
            hurrying.cancel()


class _Session:
    """What one session handles, and the first reason for its end."""

    def __init__(self, work: Work, copies: CopyPublisher, concurrency: int) -> None:
        self.handling = Handling(work, copies, concurrency=concurrency, finish=self._finish)
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    async def end_with(self, consuming: AbstractChannel, publishing: AbstractChannel) -> None:
        """End when the broker closes a channel or cancels the consumer.

        The channel is watched, not the connection: that one notices only its own closing. A consumer cancelled with
        its queue leaves the channel open, connected and silent.
        """
        for channel in (consuming, publishing):
            channel.close_callbacks.add(lambda _, error: self._finish(Lost(f"channel closed: {error}")))
        underlay = await consuming.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._finish(Lost("the broker cancelled the consumer")))

    async def take(self, messages: AbstractQueueIterator, stop: asyncio.Event) -> End:
        """Take messages until the end; then take no more and give back what has not begun."""
        taking = asyncio.create_task(self._take_each(messages))
        stopping = asyncio.create_task(self._finish_on(stop))
        try:
            return await asyncio.shield(self._end)
        finally:
            # On a channel that is gone there is nothing to cancel, and the broker has taken the messages back.
            with suppress(*BROKER_ERRORS):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await messages.close()
                    await self.handling.give_back()
            for task in (taking, stopping):
                task.cancel()
            await asyncio.gather(taking, stopping, return_exceptions=True)

    def _finish(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)
            self.handling.close()

    async def _finish_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._finish(Stopped())

    async def _take_each(self, messages: AbstractQueueIterator) -> None:
        try:
            async for message in messages:
                if self._end.done():
                    # Unsettled, so that the broker has it back when the channel closes. And no further look at the
                    # iterator: asked for more while it is closing, it would consume again.
                    return
                self.handling.add(message)
        finally:
            self._finish(Lost("the broker delivers no more"))
