"""Declaring a consumer's queues. What is declared stands in `schemas.topology`; this only does it, in a safe order."""

from __future__ import annotations

import re
from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed

from schemas.topology import TOPIC, ConsumerTopology, Queue

DECLARE_TIMEOUT_S: Final = 15.0

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)'.*?received (?:the value )?(?P<ours>none|'[^']*').*?"
    r"current is (?:the value )?(?P<theirs>none|'[^']*')",
    re.DOTALL,
)


class TopologyMismatch(Exception):
    """A queue or exchange of that name exists with other arguments, which nothing but a person can resolve.

    Arguments cannot be changed in place, so trying again would never help.
    """

    def __init__(self, name: str, refusal: str) -> None:
        found = _INEQUIVALENT.search(refusal)
        self.name = name
        self.argument = found["argument"] if found else None
        self.ours = found["ours"].strip("'") if found else None
        self.theirs = found["theirs"].strip("'") if found else None
        difference = (
            f"{self.argument} is {self.theirs or repr('')} on the broker,"
            f" but this version of Waybill declares {self.ours or repr('')}"
            if found
            else refusal
        )
        super().__init__(
            f"{name} exists with other arguments: {difference}."
            " Arguments cannot be changed: empty and delete it on the broker, then start again"
        )


async def declare(connection: AbstractConnection, topology: ConsumerTopology) -> None:
    """Declare everything that the consumer owns, on a channel of its own, because a refusal closes the channel.

    Raises `TopologyMismatch`, and what aio-pika raises when the broker cannot be talked to.
    """
    async with connection.channel() as channel:
        # Dead letters first: what is sent to a queue that does not exist yet is dropped without a word.
        for queue in (topology.dead, *topology.retries, topology.work):
            await _declare_queue(channel, queue)
        await _declare_topic(channel)
        work = await channel.get_queue(topology.work.name, ensure=False)
        for routing_key in topology.routing_keys:
            await work.bind(TOPIC, routing_key, timeout=DECLARE_TIMEOUT_S)


async def _declare_queue(channel: AbstractChannel, queue: Queue) -> None:
    try:
        await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments, timeout=DECLARE_TIMEOUT_S)
    except ChannelPreconditionFailed as refusal:
        raise TopologyMismatch(f"queue {queue.name}", str(refusal)) from refusal


async def _declare_topic(channel: AbstractChannel) -> None:
    try:
        await channel.declare_exchange(TOPIC, ExchangeType.TOPIC, durable=True, timeout=DECLARE_TIMEOUT_S)
    except ChannelPreconditionFailed as refusal:
        raise TopologyMismatch(f"exchange {TOPIC}", str(refusal)) from refusal
