"""A consumer's dead letters: look at them, send them back to that consumer alone, or drop them.

Safe while workers and other people do the same: every letter is held by one of them at a time, and whatever ends
without an answer is back in the queue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from consumers.settle import CopyPublisher
from schemas.topology import ATTEMPT_HEADER, DEAD_AT_HEADER, DEAD_REASON_HEADER, ConsumerTopology

PUBLISH_TIMEOUT_S = 15.0
GIVE_BACK_TIMEOUT_S = 2.0
GIVE_BACK_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known of a dead letter. `shipment_number` is None where the body cannot be read."""

    message_id: str | None
    shipment_number: str | None
    reason: str
    attempts: int
    dead_at: datetime | None
    headers: dict[str, Any]
    body: bytes


Wanted = Callable[[DeadLetter], bool]


async def browse(
    connection: AbstractConnection, topology: ConsumerTopology, *, limit: int, wanted: Wanted = lambda _: True
) -> list[DeadLetter]:
    """Return up to `limit` wanted letters, oldest first, and leave all of them where they are."""
    found: list[DeadLetter] = []

    async def keep(letter: DeadLetter, _: AbstractIncomingMessage) -> None:
        if wanted(letter):
            found.append(letter)

    await _walk(connection, topology, keep, enough=lambda: len(found) >= limit)
    return found


async def replay(
    connection: AbstractConnection,
    topology: ConsumerTopology,
    *,
    wanted: Wanted,
    on_letter: Callable[[DeadLetter], None] = lambda _: None,
) -> int:
    """Send the wanted letters back to the work queue as if new, and return how many.

    A copy is in the work queue before the letter is gone: being killed in between leaves a duplicate, which the
    consumer's inbox absorbs.
    """
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as publishing:
        copies = CopyPublisher(publishing, timeout_s=PUBLISH_TIMEOUT_S)

        async def send_back(message: AbstractIncomingMessage) -> None:
            await copies.publish(message, queue=topology.work.name, headers={ATTEMPT_HEADER: 0})
            await message.ack()

        return await _for_each(connection, topology, wanted, send_back, on_letter)


async def drop(
    connection: AbstractConnection,
    topology: ConsumerTopology,
    *,
    wanted: Wanted,
    on_letter: Callable[[DeadLetter], None] = lambda _: None,
) -> int:
    """Delete the wanted letters for good and return how many. The event history keeps the events themselves."""
    return await _for_each(connection, topology, wanted, _ack, on_letter)


async def _ack(message: AbstractIncomingMessage) -> None:
    await message.ack()


def read_letter(message: AbstractIncomingMessage) -> DeadLetter:
    """Read a letter, trusting nothing of it."""
    headers = dict(message.headers)
    reason, attempts = headers.get(DEAD_REASON_HEADER), headers.get(ATTEMPT_HEADER)
    return DeadLetter(
        message_id=message.message_id,
        shipment_number=_shipment_number(message.body),
        # Without a reason of ours it was the broker that gave up.
        reason=str(reason) if reason else "delivered too often without an answer",
        attempts=attempts if isinstance(attempts, int) else 0,
        dead_at=_moment(headers.get(DEAD_AT_HEADER)),
        headers=headers,
        body=message.body,
    )


async def _for_each(
    connection: AbstractConnection,
    topology: ConsumerTopology,
    wanted: Wanted,
    act: Callable[[AbstractIncomingMessage], Awaitable[object]],
    on_letter: Callable[[DeadLetter], None],
) -> int:
    done = 0

    async def act_on(letter: DeadLetter, message: AbstractIncomingMessage) -> None:
        nonlocal done
        if wanted(letter):
            await act(message)
            done += 1
            on_letter(letter)

    await _walk(connection, topology, act_on)
    return done


async def _walk(
    connection: AbstractConnection,
    topology: ConsumerTopology,
    visit: Callable[[DeadLetter, AbstractIncomingMessage], Awaitable[None]],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Visit the letters that are there now. What `visit` does not answer goes back in its order."""
    async with connection.channel() as channel:
        visited: list[AbstractIncomingMessage] = []
        try:
            # As many as there are now: what dies meanwhile is for the next time.
            for _ in range(await _count(channel, topology)):
                message = None if enough() else await _next(channel, topology)
                if message is None:
                    break
                visited.append(message)
                await visit(read_letter(message), message)
        finally:
            await _give_back(channel, topology, [message for message in visited if not message.processed])


async def _give_back(
    channel: AbstractChannel, topology: ConsumerTopology, unanswered: list[AbstractIncomingMessage]
) -> None:
    """Return once the letters are in the queue again, so that whoever looks next finds them."""
    if not unanswered:
        return
    await unanswered[-1].nack(requeue=True, multiple=True)
    # The broker does not confirm a nack. Bounded, because somebody else may take them meanwhile.
    with suppress(TimeoutError):
        async with asyncio.timeout(GIVE_BACK_TIMEOUT_S):
            while await _count(channel, topology) < len(unanswered):  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(GIVE_BACK_LOOK_S)


async def _count(channel: AbstractChannel, topology: ConsumerTopology) -> int:
    queue = await channel.declare_queue(topology.dead.name, passive=True)
    return queue.declaration_result.message_count or 0


async def _next(channel: AbstractChannel, topology: ConsumerTopology) -> AbstractIncomingMessage | None:
    queue = await channel.get_queue(topology.dead.name, ensure=False)
    return await queue.get(no_ack=False, fail=False)


def _shipment_number(body: bytes) -> str | None:
    try:
        guid = json.loads(body)["guid"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return guid if isinstance(guid, str) else None


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
