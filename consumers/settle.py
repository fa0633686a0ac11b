"""Answering the broker, once per delivery, after the database's commit and never before it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, assert_never

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, HeadersType
from aiormq.exceptions import ChannelInvalidStateError

from consumers.outcome import Dead, Handled, Outcome, Pause, Retry, Skipped
from schemas.topology import ATTEMPT_HEADER, DEAD_AT_HEADER, DEAD_REASON_HEADER, ConsumerTopology

log = structlog.get_logger()

# Infinity is sent as itself.
_LARGEST_FLOAT: Final = 3.4028234e38


class CopyPublisher:
    """Puts confirmed, persistent copies of messages into the consumer's own queues, never through the topic.

    `channel` is one of its own that confirms and raises on returns: a copy that no queue took is an error.
    """

    def __init__(self, channel: AbstractChannel, *, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        # One at a time: the client library tells returned messages apart by their message_id only, and the same
        # message may be here twice. Copies are the exception, so this bounds nothing that matters.
        self._turn = asyncio.Lock()

    async def publish(self, message: AbstractIncomingMessage, *, queue: str, headers: dict[str, Any]) -> None:
        """Return once the broker has the copy in `queue`. Raises what aio-pika raises, or `TimeoutError`."""
        async with asyncio.timeout(self._timeout_s), self._turn:
            await self._channel.default_exchange.publish(_copy(message, headers), queue, mandatory=True)


async def settle(
    message: AbstractIncomingMessage,
    outcome: Outcome,
    *,
    attempt: int,
    topology: ConsumerTopology,
    copies: CopyPublisher,
) -> None:
    """Make `outcome` of the `attempt`-th attempt true on the broker.

    A copy is in its new queue before the original is acknowledged: a crash between the two leaves a duplicate, which
    the inbox absorbs. If the copy fails, the error is raised and the message stays unacknowledged.
    """
    match outcome:
        case Handled() | Skipped():
            await acknowledge(message)
        case Retry(delay_s, _):
            await copies.publish(message, queue=topology.retry_name(delay_s), headers={ATTEMPT_HEADER: attempt})
            await acknowledge(message)
        case Dead(reason):
            headers = {
                ATTEMPT_HEADER: attempt,
                DEAD_REASON_HEADER: reason,
                DEAD_AT_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            await copies.publish(message, queue=topology.dead.name, headers=headers)
            await acknowledge(message)
        case Pause():
            # nack, not reject: "I am leaving" is no failure of the message.
            await _answer(lambda: message.nack(requeue=True))
        case _:
            assert_never(outcome)


async def acknowledge(message: AbstractIncomingMessage, *, all_before: bool = False) -> None:
    """Acknowledge a message, or also all that its channel has delivered before. A channel that is gone is no error."""
    await _answer(lambda: message.ack(multiple=all_before))


async def _answer(answer: Callable[[], Awaitable[None]]) -> None:
    try:
        await answer()
    except ChannelInvalidStateError:
        # The channel is gone, so the broker delivers the message again, and the inbox knows that it is handled.
        log.warning("answer_lost_with_channel")


def _copy(message: AbstractIncomingMessage, headers: dict[str, Any]) -> Message:
    # Headers that begin with x- are the broker's own account of the original. Why it was dead once is no longer so.
    kept: HeadersType = {
        name: value
        for name, value in message.headers.items()
        if not name.startswith("x-") and name not in {DEAD_REASON_HEADER, DEAD_AT_HEADER}
    }
    return Message(
        message.body,
        headers={name: _sendable(value) for name, value in kept.items()} | headers,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


def _sendable(value: Any) -> Any:  # noqa: ANN401 - whatever AMQP's field tables hold
    # The client library receives more than it sends. Text that is not UTF-8 comes as bytes, which go only under their
    # other name; floating point goes with 32 bits, whole numbers with 63.
    match value:
        case bytes():
            return bytearray(value)
        case float() if _LARGEST_FLOAT < abs(value) < math.inf:
            return repr(value)
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
        case list():
            return [_sendable(each) for each in value]
        case dict():
            return {name: _sendable(each) for name, each in value.items()}
        case _:
            return value
