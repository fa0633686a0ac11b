"""A bare aio-pika loop: publish the messages of given shipments' events with confirms, in batches.

The messages are read and built before the clock starts, so that only publishing is timed. Prints the seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aio_pika
import asyncpg

from bench.data import LOOK
from publishers.message import destination, event_message


async def main(arguments: argparse.Namespace) -> None:
    """Publish and print."""
    database = await asyncpg.connect(arguments.database_url)
    rows = [row async for row in LOOK.published_events(database, first=arguments.first, last=arguments.last)]
    await database.close()
    messages = [(event_message(row), destination(row)[1]) for row in rows]
    exchange_name = destination(rows[0])[0]
    connection = await aio_pika.connect(arguments.amqp_url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(exchange_name)
        began = time.perf_counter()
        for start in range(0, len(messages), arguments.batch):
            batch = messages[start : start + arguments.batch]
            await asyncio.gather(*(exchange.publish(message, routing_key=key) for message, key in batch))
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "messages": len(messages)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--amqp-url", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    asyncio.run(main(parser.parse_args()))
