"""From due deliveries to requests, for as long as the process lives.

A delivery is leased in a statement of its own, so that no transaction is open while a partner is talked to. A crash
leaves the lease behind; when that is over the delivery is due again, with the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

import sql
from consumers.inbox import Pool
from consumers.webhooks.answer import Accepted, Answer
from consumers.webhooks.attempt import DATABASE_ERRORS, FIRST_BACKOFF_S, LONGEST_BACKOFF_S, decide, record, request
from consumers.webhooks.client import EXCERPT_TIMEOUT_S, Client
from consumers.webhooks.due import Due, read_due
from consumers.webhooks.lanes import Lanes

# What a lease leaves for recording the result after the request, through a restart of the database too.
LEASE_MARGIN_S: Final = 30.0
CUT_TIMEOUT_S: Final = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, how often, how long. Seconds."""

    concurrency: int
    concurrency_each: int
    timeout_s: float
    retry_delays_s: Sequence[float]
    disable_after_s: float
    poll_s: float
    grace_s: float

    @property
    def lease_s(self) -> float:
        """Return how long nobody else touches a delivery that is being sent."""
        return self.timeout_s + EXCERPT_TIMEOUT_S + LEASE_MARGIN_S


class Sender:
    """Sends what is due. `wake` is to be set when something may have become so."""

    def __init__(self, pool: Pool, client: Client, *, pace: Pace, wake: asyncio.Event) -> None:
        self._pool = pool
        self._client = client
        self._pace = pace
        self._wake = wake
        self._clock = asyncio.get_running_loop().time
        self._lanes = Lanes(most=pace.concurrency, most_each=pace.concurrency_each, clock=self._clock)
        self._tasks: set[asyncio.Task[None]] = set()
        # Those of the tasks that wait for a receiver.
        self._requests: dict[asyncio.Task[None], Due] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, through losses of the database; then let running requests end, for at most the grace."""
        telling = asyncio.create_task(self._tell(stop))
        try:
            await self._start_until(stop)
            if self._tasks:
                log.info("webhook_sender_draining", running=len(self._tasks), grace_s=self._pace.grace_s)
                await asyncio.wait(self._tasks, timeout=self._pace.grace_s)
        finally:
            telling.cancel()
            await self._cut()

    async def start_due(self) -> int:
        """Start a request for every due delivery that there is room for; return how many. Raises `DATABASE_ERRORS`."""
        slow = self._lanes.slow()
        started = 0
        for among_slow in (False, True) if slow else (False,):
            most = self._lanes.free_for_slow() if among_slow else self._lanes.free()
            for due in await self._lease(slow, among_slow=among_slow, most=most) if most else []:
                self._start(due)
                started += 1
        return started

    async def _start_until(self, stop: asyncio.Event) -> None:
        backoff_s = FIRST_BACKOFF_S
        log.info("webhook_sender_started")
        while not stop.is_set():
            # Before the look, so that what is said during the look leads to another one.
            self._wake.clear()
            try:
                started = await self.start_due()
            except DATABASE_ERRORS as error:
                log.warning("webhook_sender_waiting", reason=f"database: {type(error).__name__}", again_in_s=backoff_s)
                await _wait_for(stop, backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
                continue
            backoff_s = FIRST_BACKOFF_S
            if not started and not stop.is_set():
                await _wait_for(self._wake, self._pace.poll_s)

    async def _tell(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _lease(self, slow: Sequence[str], *, among_slow: bool, most: int) -> list[Due]:
        rooms = self._lanes.rooms()
        async with self._pool.acquire() as connection:
            rows = sql.queries("webhooks").claim_due(
                connection,
                endpoints=list(rooms),
                rooms=list(rooms.values()),
                room=self._pace.concurrency_each,
                slow=list(slow),
                among_slow=among_slow,
                most=most,
                lease_s=self._pace.lease_s,
            )
            return [read_due(row) async for row in rows]

    def _start(self, due: Due) -> None:
        task = asyncio.create_task(self._deliver(due, self._lanes.begin(due.endpoint_id)))
        self._tasks.add(task)
        self._requests[task] = due
        task.add_done_callback(self._ended)

    async def _deliver(self, due: Due, began: float) -> None:
        accepted, took_s = False, 0.0
        try:
            answer = await self._request(due)
            verdict = decide(answer, due, self._pace.retry_delays_s)
            accepted, took_s = isinstance(verdict, Accepted), self._clock() - began
            await record(
                self._pool,
                due,
                answer,
                verdict,
                disable_after_s=self._pace.disable_after_s,
                until=began + self._pace.lease_s,
            )
        finally:
            # Not before it is written down: the receiver may have asked for peace.
            self._lanes.end(due.endpoint_id, began, failed=not accepted, took_s=took_s)
            # There is room again.
            self._wake.set()

    async def _request(self, due: Due) -> Answer:
        try:
            return await request(self._client, due)
        finally:
            if task := asyncio.current_task():
                self._requests.pop(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("webhook_not_recorded", exc_info=error)

    async def _cut(self) -> None:
        """Cut running requests off and give their deliveries back; what is being recorded gets a moment."""
        cut = dict(self._requests)
        if cut:
            log.warning("webhooks_cut_off", count=len(cut))
        await self._cancel(set(cut))
        await self._cancel(self._tasks)
        with suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(CUT_TIMEOUT_S):
                for due in cut.values():
                    await sql.queries("webhooks").give_back(self._pool, id=due.id, lease=due.lease)

    async def _cancel(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CUT_TIMEOUT_S)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
