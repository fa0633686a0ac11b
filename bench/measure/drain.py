"""How long a queue takes to run empty, whoever empties it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aio_pika

LOOK_EVERY_S = 0.02
LONGEST_S = 1800.0


class NotDrained(Exception):
    """The queue was not empty in time, or never began to shrink."""


async def drained(
    waiting: Callable[[], Awaitable[int]],
    *,
    most: int,
    running: Callable[[], bool],
    began: Callable[[], object] = lambda: None,
    longest_s: float = LONGEST_S,
) -> float:
    """Return the seconds from the first look at fewer than `most` waiting to the first at none.

    What happens before the first message is taken, such as the start of who takes it, does not count; `running` tells
    whether that one still lives, `began` is called at that first look. Raises `NotDrained`.
    """
    deadline = time.monotonic() + longest_s
    first = None
    while (left := await waiting()) > 0:
        now = time.monotonic()
        if first is None and left < most:
            first = now
            began()
        if not running():
            raise NotDrained(f"{left} of {most} are left, and who took them has ended")
        if now > deadline:
            raise NotDrained(f"{left} of {most} are left after {longest_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)
    if first is None:
        raise NotDrained(f"{most} were taken before anybody could look")
    return time.monotonic() - first


async def queue_drained(
    amqp_url: str, queue: str, *, most: int, running: Callable[[], bool], began: Callable[[], object]
) -> float:
    """Return how long `queue` took from its first message to its last. Counted by the broker."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()

        async def waiting() -> int:
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.message_count or 0

        return await drained(waiting, most=most, running=running, began=began)


async def purge(amqp_url: str, queue: str) -> None:
    """Empty a queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(queue)).purge()


async def delete(amqp_url: str, queue: str) -> None:
    """Delete a queue with all that is in it, if there is such a queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue)
