"""Running a consumer for as long as its process lives: one session after the other."""

from __future__ import annotations

import asyncio
import random
from typing import Final, assert_never

import structlog
from structlog.contextvars import bound_contextvars

from consumers import inbox
from consumers.broker import BROKER_ERRORS, Broker
from consumers.ending import End, Lost, Paused, Stopped
from consumers.session import consume
from consumers.work import Work

log = structlog.get_logger()

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
# A session that lived this long says that the trouble before it was over.
GOOD_SESSION_S: Final = 30.0


class Backoff:
    """Growing waits with jitter, so that many workers do not come back in one moment."""

    def __init__(self) -> None:
        self._ceiling_s = FIRST_BACKOFF_S

    def next_s(self) -> float:
        """Return the next wait in seconds; never less than half of what it may be at most."""
        wait_s = self._ceiling_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards no secret
        self._ceiling_s = min(self._ceiling_s * 2, LONGEST_BACKOFF_S)
        return wait_s

    def reset(self) -> None:
        """Begin with the shortest wait again."""
        self._ceiling_s = FIRST_BACKOFF_S


async def run(broker: Broker, work: Work, *, stop: asyncio.Event, consuming: asyncio.Event | None = None) -> None:
    """Consume until `stop` is set, through lost connections, deleted queues and databases that are away.

    `consuming` is set while messages are taken. Raises `TopologyMismatch`: no further session would help.
    """
    consuming = consuming or asyncio.Event()
    with bound_contextvars(consumer=work.topology.consumer):
        announcing = asyncio.create_task(_announce(consuming))
        try:
            await _sessions(broker, work, stop=stop, consuming=consuming)
        finally:
            announcing.cancel()


async def _sessions(broker: Broker, work: Work, *, stop: asyncio.Event, consuming: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    backoff = Backoff()
    while not stop.is_set():
        began = loop.time()
        end = await _session(broker, work, stop=stop, consuming=consuming)
        if stop.is_set():
            return
        if loop.time() - began >= GOOD_SESSION_S:
            backoff.reset()
        match end:
            case Stopped():
                return
            case Paused(reason):
                log.warning("consumer_paused", reason=reason)
                if await _database_back(work, backoff, stop):
                    log.info("consumer_resumed")
            case Lost(reason):
                wait_s = backoff.next_s()
                log.warning("consumer_session_lost", reason=reason, again_in_s=round(wait_s, 2))
                await _sleep(wait_s, stop)
            case _:
                assert_never(end)


async def _announce(consuming: asyncio.Event) -> None:
    await consuming.wait()
    log.info("worker_started")


async def _session(broker: Broker, work: Work, *, stop: asyncio.Event, consuming: asyncio.Event) -> End:
    try:
        return await consume(broker, work, stop=stop, consuming=consuming)
    except BROKER_ERRORS as error:
        return Lost(f"broker: {type(error).__name__}: {error}")


async def _database_back(work: Work, backoff: Backoff, stop: asyncio.Event) -> bool:
    # First the wait, then the question: a server that answers and yet fails every handler is not asked in a circle.
    while not stop.is_set():
        await _sleep(backoff.next_s(), stop)
        if await inbox.database_answers(work.pool):
            return True
    return False


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
