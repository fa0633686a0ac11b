"""The subscriber of subscriber_plain.py on Waybill's consumer runtime, with a database of its own.

The runtime adds retries with growing waits, several messages at once, a pause while the database is away, and a log
line for each message. docs/subscribing.md says when to take which.

    pip install waybill
    export WAYBILL_AMQP_URL=amqp://user:password@host:5672/vhost
    export DATABASE_URL=postgresql://user:password@host:5432/tally
    python subscriber_on_runtime.py
"""

from __future__ import annotations

import asyncio
import os
import signal

import asyncpg

from consumers.broker import Broker
from consumers.delivery import Delivery
from consumers.inbox import Connection
from consumers.outcome import Done, Handled, Rejected
from consumers.runtime import run
from consumers.work import Work
from schemas.events import EventType
from schemas.topology import ConsumerTopology

CONCURRENCY = 8
TOPOLOGY = ConsumerTopology(
    consumer="carrierTallyOnRuntime",
    routing_keys=(EventType.SHIPMENT_SHIPPED.value,),
    retry_delays_s=(5, 30, 300),
)

# `inbox` is the one table that the runtime needs.
TABLES = """
CREATE TABLE IF NOT EXISTS inbox (
    consumer   text NOT NULL,
    message_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
);
CREATE TABLE IF NOT EXISTS carriers (carrier text PRIMARY KEY, packages bigint NOT NULL);
"""


async def count_packages(connection: Connection, delivery: Delivery) -> Done:
    """Add the shipment's packages to its carrier's, in the transaction that also notes the event as handled."""
    data = delivery.event.data
    if data.shipped_at is None:
        raise Rejected("a shipped event without the time of its departure")
    await connection.execute(
        "INSERT INTO carriers VALUES ($1, $2)"
        " ON CONFLICT (carrier) DO UPDATE SET packages = carriers.packages + excluded.packages",
        data.carrier or "unknown",
        data.packages or 1,
    )
    return Handled()


async def main() -> None:
    """Consume until SIGTERM or Ctrl-C; running handlers are finished first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(os.environ["WAYBILL_AMQP_URL"], concurrency=CONCURRENCY, publish_timeout_s=10, grace_s=25)
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"],
        min_size=1,
        # One connection for each message in work, and one to ask whether the database is there.
        max_size=CONCURRENCY + 1,
        server_settings={"lock_timeout": "15s"},
    ) as pool:
        await pool.execute(TABLES)
        await run(broker, Work(TOPOLOGY, pool, count_packages, handler_timeout_s=60), stop=stop)


if __name__ == "__main__":
    asyncio.run(main())
