"""A subscriber outside Waybill: a queue of its own, and every event handled once. docs/subscribing.md explains it.

It counts the packages that each carrier has taken, and keeps what is known of every shipment, in an SQLite file.

    pip install 'aio-pika>=10.2,<11' 'cloudevents>=2.2,<3' 'jsonschema>=4,<5'
    export AMQP_URL='amqp://user:password@host:5672/vhost?heartbeat=15'
    export SUBSCRIBER=carrierTally DATABASE=tally.sqlite SCHEMAS=docs/events
    python subscriber_plain.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed
from aiormq.abc import FieldTable
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator

TOPIC = "VirtualTopic.ep.orders"
# By their names, never "#": other systems' events use the topic, too, and have other bodies.
TYPES = ("order-shipment-created", "order-shipment-released", "order-shipment-shipped", "order-shipment-cancelled")
PREFETCH = 20
AGAIN_S = 1.0

TABLES = """
CREATE TABLE IF NOT EXISTS handled (message_id TEXT PRIMARY KEY, handled_at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS carriers (carrier TEXT PRIMARY KEY, packages INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shipments (number TEXT PRIMARY KEY, status TEXT NOT NULL, sequence INTEGER NOT NULL);
"""

log = logging.getLogger("subscriber")


async def bind_queue(channel: AbstractChannel, subscriber: str) -> AbstractQueue:
    """Declare what the subscriber owns, dead letters first, and bind it. Repeating it changes nothing."""
    name = f"Consumer.{subscriber}.{TOPIC}"
    dead_exchange = await channel.declare_exchange(f"{name}.dead", aio_pika.ExchangeType.FANOUT, durable=True)
    # No delivery limit to speak of: looking at a dead letter and giving it back counts as a delivery.
    dead_arguments: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": 2147483647}
    dead = await channel.declare_queue(f"{name}.dead", durable=True, arguments=dead_arguments)
    await dead.bind(dead_exchange)
    arguments: FieldTable = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 100,
        "x-dead-letter-exchange": f"{name}.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
    for event_type in TYPES:
        await queue.bind(TOPIC, event_type)
    return queue


def read_event(message: AbstractIncomingMessage, schemas: dict[str, Draft202012Validator]) -> BaseCloudEvent:
    """Return the CloudEvent in `message`, its body checked. Raises whatever is wrong with it."""
    headers = {name: str(value) for name, value in message.headers.items()}
    event = from_binary(RabbitMQMessage(headers, message.content_type, message.body), JSONFormat())
    schemas[event.get_type()].validate(event.get_data())
    return event


def handle_once(database: sqlite3.Connection, event: BaseCloudEvent) -> bool:
    """Commit the event's effect together with its id. Return False if it has been handled before."""
    with database:
        new = database.execute("INSERT INTO handled (message_id) VALUES (?) ON CONFLICT DO NOTHING", [event.get_id()])
        if new.rowcount == 0:
            return False
        body: Any = event.get_data()
        take_note(database, event.get_type(), body["data"])
        return True


def take_note(database: sqlite3.Connection, event_type: str, data: dict[str, Any]) -> None:
    """Do what this subscriber is for, inside the transaction."""
    if event_type == "order-shipment-shipped":
        database.execute(
            "INSERT INTO carriers VALUES (?, ?) ON CONFLICT DO UPDATE SET packages = packages + excluded.packages",
            [data["carrier"] or "unknown", data["packages"] or 1],
        )
    # An older event that comes later says nothing new.
    database.execute(
        "INSERT INTO shipments VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
        " status = excluded.status, sequence = excluded.sequence WHERE excluded.sequence > shipments.sequence",
        [data["shipmentNumber"], data["status"], data["sequence"]],
    )


async def handle_patiently(database: sqlite3.Connection, event: BaseCloudEvent) -> bool:
    """Handle the event as soon as the database lets us. The message is not to blame, so it loses no attempt."""
    while True:
        try:
            return handle_once(database, event)
        except sqlite3.OperationalError as error:
            log.warning("database: %s; again in %s s", error, AGAIN_S)
            await asyncio.sleep(AGAIN_S)


async def settle(
    message: AbstractIncomingMessage, database: sqlite3.Connection, schemas: dict[str, Draft202012Validator]
) -> None:
    """Handle a message and answer the broker, after the commit and never before it."""
    try:
        event = read_event(message, schemas)
        new = await handle_patiently(database, event)
    except Exception:
        # Again would be the same again. The broker moves it to the dead-letter queue, where a person sees it.
        log.exception("dead letter: %s", message.message_id)
        await message.reject(requeue=False)
    else:
        log.info("%s %s %s", "handled" if new else "repeated", event.get_type(), event.get_id())
        await message.ack()


async def consume(database: sqlite3.Connection, schemas: dict[str, Draft202012Validator]) -> None:
    """Connect, bind and handle messages one by one until the connection or the queue is lost."""
    async with await aio_pika.connect(os.environ["AMQP_URL"], timeout=30) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        # The broker cancels a consumer whose queue is deleted and leaves the channel open, silent for ever.
        # Closing it ends the loop below. Not in the callback, for which the channel's own reader waits.
        closing: list[asyncio.Future[None]] = []
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: closing.append(asyncio.ensure_future(channel.close())))
        queue = await bind_queue(channel, os.environ["SUBSCRIBER"])
        async with queue.iterator() as messages:
            log.info("consuming %s", queue.name)
            async for message in messages:
                await settle(message, database, schemas)


async def main() -> None:
    """Consume until SIGTERM or Ctrl-C, through lost connections."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    this = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: this and this.cancel())
    folder = Path(os.environ["SCHEMAS"])
    schemas = {
        event_type: Draft202012Validator(json.loads((folder / f"{event_type}.schema.json").read_text("utf-8")))
        for event_type in TYPES
    }
    database = sqlite3.connect(os.environ["DATABASE"], timeout=AGAIN_S)
    database.executescript(f"PRAGMA journal_mode = WAL; {TABLES}")
    while True:
        try:
            await consume(database, schemas)
        except ChannelPreconditionFailed:
            raise  # the queue exists with other arguments, which trying again does not change
        except (AMQPError, OSError, TimeoutError) as error:
            log.warning("broker: %s", error)
        log.info("connecting again in %s s", AGAIN_S)
        await asyncio.sleep(AGAIN_S)


if __name__ == "__main__":
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main())
