"""A bare aio-pika consumer: acknowledge every message; with --inbox, first write its inbox row as Waybill does.

Runs until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
from uuid import UUID

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage

import sql


async def main(arguments: argparse.Namespace) -> None:
    """Consume for ever."""
    pool = (
        await asyncpg.create_pool(arguments.inbox, min_size=1, max_size=arguments.prefetch) if arguments.inbox else None
    )

    async def handle(message: AbstractIncomingMessage) -> None:
        if pool is not None:
            async with pool.acquire() as connection, connection.transaction():
                await sql.queries("inbox").claim(
                    connection, consumer="bench", message_id=UUID(message.message_id or "")
                )
        await message.ack()

    connection = await aio_pika.connect(arguments.amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=arguments.prefetch)
        queue = await channel.get_queue(arguments.queue)
        await queue.consume(handle)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--amqp-url", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--prefetch", type=int, required=True)
    parser.add_argument("--inbox", metavar="DATABASE_URL")
    asyncio.run(main(parser.parse_args()))
