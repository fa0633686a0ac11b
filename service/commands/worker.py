"""`waybill worker QUEUE`: one consumer. Any number may run, also of one queue."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from consumers.background import Background
from consumers.broker import Broker
from consumers.registry import CONSUMERS, Consumer, UseCases
from consumers.runtime import run
from consumers.settings import WrongSetting
from consumers.topology import TopologyMismatch
from consumers.work import Work
from service.logs import configure_logs
from service.order_events import take_in
from service.settings import Settings, SettingsError, load_settings
from service.stop import stop_on_signals
from service.wiring import check_migrated, open_pool, spare_the_collector

_KNOWN = ", ".join(CONSUMERS)

USE_CASES = UseCases(take_in=take_in)


def worker(queue: Annotated[str, typer.Argument(help=f"what to consume: {_KNOWN}")]) -> None:
    """Handle one queue's messages until SIGTERM or Ctrl-C; running handlers are finished first."""
    consumer = CONSUMERS.get(queue)
    if consumer is None:
        raise typer.BadParameter(f"there is no queue {queue!r}; known: {_KNOWN}", param_hint="QUEUE")
    settings = load_settings()
    settings.require("database_url", "amqp_url", *consumer.requires)
    configure_logs(settings, process=f"worker {queue}")
    try:
        asyncio.run(run_worker(settings, consumer))
    except WrongSetting as wrong:
        raise SettingsError(str(wrong)) from wrong
    except TopologyMismatch as mismatch:
        sys.stderr.write(f"waybill: {mismatch}\n")
        raise typer.Exit(1) from mismatch


async def run_worker(settings: Settings, consumer: Consumer) -> None:
    """Run one worker until stopped by a signal. Raises `SettingsError`, `WrongSetting` or `TopologyMismatch`."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        handler = await stack.enter_async_context(consumer.open_handler(settings, USE_CASES))
        pool = await stack.enter_async_context(
            # One connection per message in work and one to ask whether the database is there.
            open_pool(_patient(settings), name=f"worker {consumer.name}", size=settings.worker_concurrency + 1)
        )
        await check_migrated(pool)
        if isinstance(handler, Background):
            # A pool of its own: it takes no connection away from messages, nor they from it.
            beside = open_pool(settings, name=f"worker {consumer.name} background", size=handler.connections)
            await stack.enter_async_context(handler.beside(await stack.enter_async_context(beside), stop))
        broker = Broker(
            amqp_url=settings.amqp_url,
            concurrency=settings.worker_concurrency,
            publish_timeout_s=settings.publish_timeout_s,
            grace_s=settings.shutdown_timeout_s,
        )
        work = Work(
            topology=consumer.topology(settings.worker_retry_delays_s),
            pool=pool,
            handler=handler,
            handler_timeout_s=settings.worker_handler_timeout_s,
            read=consumer.read,
            subject=consumer.subject,
            together=consumer.together,
        )
        spare_the_collector()
        await run(broker, work, stop=stop)


def _patient(settings: Settings) -> Settings:
    # A handler's transaction is idle while somebody else is talked to, for as long as a handler may take: the server
    # must not end it before the handler's own time-out does, or a mail would be sent and its row lost.
    longest = max(settings.worker_handler_timeout_s + 10, settings.idle_in_transaction_timeout_s)
    return settings.model_copy(update={"idle_in_transaction_timeout_s": longest})
