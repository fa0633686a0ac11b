"""How full a consumer's queues are. Asks by passive declaration, which touches no message."""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from schemas.topology import ConsumerTopology


@dataclass(frozen=True, slots=True)
class Depths:
    """Messages by where they wait; `consumers` is how many workers take from the work queue. None: not declared."""

    ready: int | None
    consumers: int
    retrying: int
    dead: int


async def depths(connection: AbstractConnection, topology: ConsumerTopology) -> Depths:
    """Return the depths of the consumer's queues. Messages being handled right now count nowhere."""
    work = await _look(connection, topology.work.name)
    retrying = [await _look(connection, queue.name) for queue in topology.retries]
    dead = await _look(connection, topology.dead.name)
    return Depths(
        ready=work[0] if work else None,
        consumers=work[1] if work else 0,
        retrying=sum(counts[0] for counts in retrying if counts),
        dead=dead[0] if dead else 0,
    )


async def _look(connection: AbstractConnection, name: str) -> tuple[int, int] | None:
    try:
        # A channel each: asking for a queue that does not exist closes it.
        async with connection.channel() as channel:
            result = (await channel.declare_queue(name, passive=True)).declaration_result
    except ChannelNotFoundEntity:
        return None
    return result.message_count or 0, result.consumer_count or 0
