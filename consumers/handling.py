"""The deliveries of one session: what waits, what is in work, and what is given back at the end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractIncomingMessage

from consumers.acknowledging import Acknowledging
from consumers.ending import End, Lost, Paused
from consumers.outcome import Pause
from consumers.settle import CopyPublisher
from consumers.together import process_together
from consumers.work import Work, process

log = structlog.get_logger()

# More in one transaction gain little, and are more to do again when one of them fails.
MOST_TOGETHER: Final = 32


class Handling:
    """Handles deliveries in tasks of its own, never more than `concurrency`, together where the work allows it.

    The client library would cancel its callbacks when their channel closes, which would cut a mail in half. `finish` is
    told what must end the session.
    """

    def __init__(self, work: Work, copies: CopyPublisher, *, concurrency: int, finish: Callable[[End], None]) -> None:
        self._work = work
        self._copies = copies
        self._concurrency = concurrency
        self._finish = finish
        self._acknowledging = Acknowledging()
        # For a group, and for tasks of their own.
        self._for_group: deque[AbstractIncomingMessage] = deque()
        self._for_alone: deque[AbstractIncomingMessage] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._group: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def prefetch(self) -> int:
        """How many deliveries to hold: as many as are handled at once, or a group in work and the next one."""
        return 2 * MOST_TOGETHER if self._work.together else self._concurrency

    def add(self, message: AbstractIncomingMessage) -> None:
        """Handle a delivery as soon as there is room."""
        (self._for_group if self._work.together else self._for_alone).append(message)
        self._begin()

    def close(self) -> None:
        """Begin nothing more. A group that is undone now is not done alone: the broker has its messages back."""
        self._closed = True

    async def give_back(self) -> None:
        """Return to the broker what has not begun. Raises what the client library raises."""
        for message in (*self._for_alone, *self._for_group):
            await message.nack(requeue=True)

    async def drain(self, grace_s: float) -> None:
        """Let what runs finish and settle, for at most `grace_s` seconds."""
        if self._running:
            log.info("consumer_draining", running=len(self._running), grace_s=grace_s)
            await asyncio.wait(self._running, timeout=grace_s)

    async def cut(self) -> None:
        """Cancel what still runs. It is unsettled, so the broker delivers it again."""
        if self._running:
            log.warning("handlers_cancelled", count=len(self._running))
            for task in (running := list(self._running)):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _begin(self) -> None:
        while self._for_alone and self._has_room():
            self._start(self._process(self._for_alone.popleft()))
        if self._for_group and self._group is None and self._has_room():
            self._group = self._start(self._process_group())

    def _has_room(self) -> bool:
        return len(self._running) < self._concurrency and not self._closed

    def _start(self, processing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(processing)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task is self._group:
            self._group = None
        self._begin()

    async def _process(self, message: AbstractIncomingMessage) -> None:
        try:
            outcome = await process(self._work, message, self._copies)
        except Exception as error:
            # Unsettled: a new session gets it again.
            log.exception("message_not_settled", message_id=message.message_id)
            self._finish(Lost(f"a message could not be settled: {type(error).__name__}"))
        else:
            self._acknowledging.settled(message)
            if isinstance(outcome, Pause):
                self._finish(Paused(outcome.reason))

    async def _process_group(self) -> None:
        # Only now: what was delivered with the first one waits here too.
        waiting = min(MOST_TOGETHER, len(self._for_group))
        group = [self._for_group.popleft() for _ in range(waiting)]
        try:
            left = await process_together(self._work, group, self._acknowledging)
        except Exception as error:
            log.exception("group_not_settled", messages=len(group))
            self._finish(Lost(f"messages could not be settled: {type(error).__name__}"))
        else:
            self._for_alone.extend(left)
