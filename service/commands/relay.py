"""`waybill relay`: from the outbox to the broker. Any number may run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import typer
from aio_pika.abc import AbstractConnection

from consumers.registry import CONSUMERS
from consumers.topology import TopologyMismatch, declare
from publishers import relay as publishing
from publishers.broker import open_session
from publishers.wakeup import Wakeup, listen
from schemas.events import EventType
from schemas.topology import ConsumerTopology
from service.logs import configure_logs
from service.settings import Settings, load_settings
from service.stop import stop_on_signals
from service.wiring import check_migrated, open_pool, spare_the_collector

# One for the rounds, which follow one another, and one to spare while a broken one is being replaced.
POOL_SIZE = 2


def relay() -> None:
    """Publish committed events until SIGTERM or Ctrl-C; the running round is finished first."""
    settings = load_settings()
    settings.require("database_url", "amqp_url")
    configure_logs(settings, process="relay")
    try:
        asyncio.run(run_relay(settings))
    except TopologyMismatch as mismatch:
        sys.stderr.write(f"waybill: {mismatch}\n")
        raise typer.Exit(1) from mismatch


async def run_relay(settings: Settings) -> None:
    """Run one relay until stopped by a signal. Raises `SettingsError` or `TopologyMismatch`."""
    topologies = [
        consumer.topology(settings.worker_retry_delays_s) for consumer in CONSUMERS.values() if consumer.standing
    ]
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        pool = await stack.enter_async_context(open_pool(settings, name="relay", size=POOL_SIZE))
        await check_migrated(pool)
        wakeup = Wakeup()
        if settings.relay_wakeup:
            await stack.enter_async_context(listen(settings.database_url, wakeup))
        spare_the_collector()
        await publishing.run(
            pool,
            partial(
                open_session,
                settings.amqp_url,
                name="waybill relay",
                # With every session: a broker that has lost its data gets its queues back before any event.
                prepare=partial(_declare_all, topologies),
            ),
            pace=publishing.Pace(settings.relay_batch_size, settings.relay_poll_s, settings.publish_timeout_s),
            required=required_types(topologies),
            due=wakeup.due,
            stop=stop,
            grace_s=settings.shutdown_timeout_s,
        )


def required_types(topologies: Sequence[ConsumerTopology]) -> frozenset[str]:
    """Return the types that a standing consumer waits for: none of them may vanish while its queue is missing."""
    bound = {key for topology in topologies for key in topology.routing_keys}
    # A type is a single word, so that either wildcard matches every one.
    return frozenset(kind.value for kind in EventType if bound & {kind.value, "*", "#"})


async def _declare_all(topologies: Sequence[ConsumerTopology], connection: AbstractConnection) -> None:
    for topology in topologies:
        await declare(connection, topology)
