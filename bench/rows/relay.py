"""The relay draining a full outbox, beside a bare loop that publishes the same messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import asyncpg

from bench.bench import Bench
from bench.data import LOOK, Numbers
from bench.measure.drain import drained, purge
from bench.programs.run import program, timed
from bench.results import Round, Row
from consumers.registry import CONSUMERS
from service.dev.programs import waybill
from service.settings import Settings

GROUP = "Relay"
WANTED = ">= 0.8"
BATCH = Settings.model_fields["relay_batch_size"].default
QUEUE = CONSUMERS["email"].topology(Settings.model_fields["worker_retry_delays_s"].default).work.name


def measure(bench: Bench) -> Iterator[Row]:
    """Yield the bare loop and the relay, which publish the same events to the same queue in every round."""
    database, amqp_url = bench.servers.database, bench.servers.amqp_url
    rows = bench.size.outbox_rows
    numbers = database.add_shipped(rows)
    database.look("empty_outbox")
    bare: list[Round] = []
    relayed: list[Round] = []
    env = bench.servers.environment(WAYBILL_AMQP_URL=amqp_url)
    for _ in range(bench.size.rounds):
        with bench.servers.process(
            "relay", waybill("relay"), ready=lambda child: '"relay_started"' in child.output(), env=env
        ) as relay:
            with bench.watch(relay=relay.pid) as used:
                seconds = asyncio.run(_relay(database.url, numbers, running=lambda: relay.process.poll() is None))
            relayed.append(bench.round(rows / seconds, used, units=rows))
        asyncio.run(purge(amqp_url, QUEUE))
        loop = program(
            "publish",
            database_url=database.url,
            amqp_url=amqp_url,
            first=numbers.first,
            last=numbers.last,
            batch=BATCH,
        )
        with bench.watch() as used:
            rate = timed(loop)
        bare.append(bench.round(rate, used, units=rows))
        asyncio.run(purge(amqp_url, QUEUE))
        relayed[-1] = replace(relayed[-1], ratio=relayed[-1].value / rate)
    yield Row(GROUP, f"bare aio-pika loop, batches of {BATCH}", "/s", tuple(bare))
    yield Row(GROUP, f"waybill relay, {rows} outbox rows", "/s", tuple(relayed), "the bare loop", WANTED)


async def _relay(database_url: str, numbers: Numbers, *, running: Callable[[], bool]) -> float:
    """Fill the outbox in one transaction, which a waiting relay hears of, and return the seconds until it is empty."""
    connection = await asyncpg.connect(database_url)
    try:
        await LOOK.fill_outbox(connection, first=numbers.first, last=numbers.last)
        began = time.perf_counter()
        await LOOK.wake_relays(connection)

        async def waiting() -> int:
            return int(await LOOK.outbox_left(connection))

        await drained(waiting, most=2, running=running)
        return time.perf_counter() - began
    finally:
        await connection.close()
