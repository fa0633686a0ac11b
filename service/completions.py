"""Completions of one API process: those that wait at the same time are done together.

Nobody waits for company. A call that comes alone is done at once; calls that come while one group is under way are the
next group. What a group cannot decide is done alone, as if there were no groups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import copy_context
from dataclasses import dataclass

import asyncpg
import structlog

from publishers.wakeup import RelayWakeup
from service.payments.provider import PaymentProvider
from service.settings import Settings
from service.shipping.complete_shipment import Completed, complete_shipment
from service.shipping.complete_together import Completion, Decision, complete_together
from service.shipping.errors import TemporarilyUnavailable
from service.wiring import CLOSE_TIMEOUT_S, PooledConnection, borrow_connection, is_lost

log = structlog.get_logger()

# More in one transaction gain nothing and make each wait longer for the others.
MOST_TOGETHER = 64
# Of one process. A second one would split what waits into smaller groups, each with statements and a commit to pay for.
GROUPS_AT_ONCE = 1
# Turns of the event loop, not time: those who were answered are told, and whoever's request has arrived by now gets
# from the socket to the queue and comes along. A call that comes alone never waits for them.
TURNS_BETWEEN_GROUPS = 8

# The database, not a row, has failed the group: nobody in it would fare better alone.
_DATABASE_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    # A table's lock: rows that somebody holds are left out.
    asyncpg.LockNotAvailableError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call in the queue, until `deadline` (the loop's clock). `decided` brings None where it has to be done alone."""

    completion: Completion
    decided: asyncio.Future[Decision | None]
    deadline: float


class Completions:
    """Completes shipments, as many together as are waiting."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        payment_pool: asyncpg.Pool[asyncpg.Record],
        providers: Mapping[str, PaymentProvider],
        wakeup: RelayWakeup,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._payment_pool = payment_pool
        self._providers = providers
        self._wakeup = wakeup
        self._waiting: deque[_Call] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        # How many tasks take calls from the queue.
        self._taking = 0
        # One timer for all in the queue: who came first loses patience first.
        self._patience: asyncio.TimerHandle | None = None
        # A group is nobody's request: what it logs must not carry the ids of the call that happened to start it.
        self._context = copy_context()

    async def complete(self, completion: Completion) -> Completed:
        """Ship the shipment, or raise one of `service.shipping.errors`. One call for a shipment at a time."""
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Decision | None] = loop.create_future()
        deadline = loop.time() + self._settings.database_acquire_timeout_s
        self._waiting.append(_Call(completion, decided, deadline))
        if self._patience is None:
            self._patience = loop.call_at(deadline, self._refuse_late)
        self._start_taking()
        decision = await decided
        if decision is None:
            return await self.complete_alone(completion)
        if isinstance(decision, Completed):
            return decision
        raise decision

    async def close(self) -> None:
        """Let what is under way come to its end, within `CLOSE_TIMEOUT_S`."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
            for task in unfinished:
                task.cancel()

    async def complete_alone(self, completion: Completion) -> Completed:
        """Ship the shipment in a transaction of its own, or raise one of `service.shipping.errors`."""
        settings = self._settings
        async with borrow_connection(self._payment_pool, timeout_s=settings.database_acquire_timeout_s) as connection:
            completed = await complete_shipment(
                connection,
                shipment_number=completion.shipment_number,
                departure=completion.departure,
                providers=self._providers,
                capture_timeout_s=settings.capture_timeout_s,
                request_id=completion.request_id,
                traceparent=completion.traceparent,
            )
            await self._wakeup.wake(connection)
        return completed

    def _start_taking(self) -> None:
        if self._waiting and self._taking < GROUPS_AT_ONCE:
            self._taking += 1
            task = asyncio.get_running_loop().create_task(self._take_groups(), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take_groups(self) -> None:
        """Do group after group on one connection while there are any."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(
                    borrow_connection(self._pool, timeout_s=self._settings.database_acquire_timeout_s)
                )
                while not is_lost(connection) and (group := self._next_group()):
                    await self._complete_group(connection, group)
                    for _ in range(TURNS_BETWEEN_GROUPS):
                        await asyncio.sleep(0)
            except TemporarilyUnavailable:
                # Others may have a connection still. If not, nobody else would tell those who wait.
                if self._taking == 1:
                    _refuse(*(call.decided for call in self._next_group()))
            finally:
                # Before the connection goes back, which takes a while: who comes meanwhile needs another task.
                self._taking -= 1
                self._start_taking()

    def _next_group(self) -> list[_Call]:
        group: list[_Call] = []
        while self._waiting and len(group) < MOST_TOGETHER:
            call = self._waiting.popleft()
            # Who has left wants no answer.
            if not call.decided.done():
                group.append(call)
        return group

    def _refuse_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._waiting[0].deadline <= now:
            _refuse(self._waiting.popleft().decided)
        self._patience = loop.call_at(self._waiting[0].deadline, self._refuse_late) if self._waiting else None

    async def _complete_group(self, connection: PooledConnection, group: Sequence[_Call]) -> None:
        try:
            decisions = await try_together(connection, [call.completion for call in group])
        except TemporarilyUnavailable:
            _refuse(*(call.decided for call in group))
            return
        for call in group:
            if not call.decided.done():
                call.decided.set_result(decisions.get(call.completion.shipment_number))
        if any(isinstance(decision, Completed) for decision in decisions.values()):
            await self._wakeup.wake(connection)


async def try_together(connection: PooledConnection, wanted: Sequence[Completion]) -> dict[str, Decision]:
    """Do as `complete_together`; nothing is decided when it fails for a reason that may be one row's.

    Raises `TemporarilyUnavailable` when the database was lost.
    """
    try:
        return await complete_together(connection, wanted)
    except _DATABASE_LOST as error:
        log.warning("dependency_unavailable", cause=repr(error), calls=len(wanted))
        raise TemporarilyUnavailable from error
    except Exception:
        # One bad row fails alone.
        log.exception("group_failed", calls=len(wanted))
        return {}


def _refuse(*calls: asyncio.Future[Decision | None]) -> None:
    for decided in calls:
        if not decided.done():
            decided.set_exception(TemporarilyUnavailable())
