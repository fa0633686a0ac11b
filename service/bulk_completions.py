"""Many completions of one request: rows in sets, one transaction each, and alone what cannot be decided in a set.

Every row is its own decision, with all that a single call promises. Single calls always find connections beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
from structlog.contextvars import bound_contextvars

from publishers.wakeup import RelayWakeup
from service.completions import Completions, try_together
from service.settings import Settings
from service.shipping.complete_shipment import Completed
from service.shipping.complete_together import Completion
from service.shipping.errors import TemporarilyUnavailable
from service.turns import Turns
from service.wiring import borrow_connection

# More gain little for a row, and hold locks and the event loop for longer.
MOST_TOGETHER = 250


@dataclass(frozen=True, slots=True)
class Row:
    """A completion, and where in its request it stands: from 1."""

    number: int
    completion: Completion


Outcome: TypeAlias = Completed | Exception


@dataclass(frozen=True, slots=True)
class Listener:
    """Who has asked: is told of rows as soon as they are decided, and says whether the rest is still `wanted`."""

    tell: Callable[[Sequence[tuple[Row, Outcome]]], None]
    wanted: Callable[[], bool]


class BulkCompletions:
    """The bulk requests of one API process."""

    def __init__(
        self,
        settings: Settings,
        *,
        payment_pool: asyncpg.Pool[asyncpg.Record],
        completions: Completions,
        turns: Turns,
        wakeup: RelayWakeup,
    ) -> None:
        self._settings = settings
        self._payment_pool = payment_pool
        self._completions = completions
        self._turns = turns
        self._wakeup = wakeup
        # A second set at once would keep others waiting for the event loop, and gain nothing where several processes
        # share the work.
        self._set = asyncio.Semaphore(1)
        # With the set's, no more than half of the connections, so that single calls find some; and a set waits for
        # nobody's payment, unless there is one connection for all.
        others = settings.payment_pool_size // 2 - 1
        self._alone = asyncio.Semaphore(others) if others > 0 else self._set
        self._most_alone = max(1, others)
        self._stopping = False

    def stop(self) -> None:
        """Begin nothing any more. Rows that are under way come to their end, all others are told that they did not."""
        self._stopping = True

    async def complete(self, rows: Sequence[Row], listener: Listener) -> None:
        """Complete each row and tell what became of it once that is committed, in no particular order.

        An outcome is `Completed` or what a single call would raise; rows of one shipment are done one after another.
        Every row is told of exactly once, unless the listener wants no more: then no further row is begun.
        """
        for distinct in _rounds(rows):
            left = []
            for start in range(0, len(distinct), MOST_TOGETHER):
                left += await self._complete_set(distinct[start : start + MOST_TOGETHER], listener)
            await self._complete_each(left, listener)

    async def _complete_set(self, rows: Sequence[Row], listener: Listener) -> list[Row]:
        """Complete those that can be in one transaction, and return the others."""
        by_number = {row.completion.shipment_number: row for row in rows}
        async with self._set:
            if not self._may_begin(rows, listener):
                return []
            try:
                async with borrow_connection(
                    self._payment_pool, timeout_s=self._settings.database_acquire_timeout_s
                ) as connection:
                    decisions = await try_together(connection, [row.completion for row in rows])
                    listener.tell([(by_number[number], decision) for number, decision in decisions.items()])
                    if any(isinstance(decision, Completed) for decision in decisions.values()):
                        await self._wakeup.wake(connection)
            except TemporarilyUnavailable as error:
                listener.tell([(row, error) for row in rows])
                return []
        return [row for number, row in by_number.items() if number not in decisions]

    async def _complete_each(self, rows: Sequence[Row], listener: Listener) -> None:
        waiting = iter(rows)

        async def take() -> None:
            while listener.wanted() and (row := next(waiting, None)):
                # For as long as it takes: nobody has promised when a row's turn comes.
                async with self._alone:
                    if self._may_begin([row], listener):
                        await self._complete_alone(row, listener)

        async with asyncio.TaskGroup() as group:
            for _ in rows[: self._most_alone]:
                group.create_task(take())

    async def _complete_alone(self, row: Row, listener: Listener) -> None:
        number = row.completion.shipment_number
        with bound_contextvars(shipment_number=number, row=row.number):
            outcome: Outcome
            try:
                async with self._turns.hold(number, timeout_s=self._settings.lock_timeout_s):
                    outcome = await self._completions.complete_alone(row.completion)
            except Exception as error:  # noqa: BLE001 - the row's answer, whatever it is
                outcome = error
            listener.tell([(row, outcome)])

    def _may_begin(self, rows: Sequence[Row], listener: Listener) -> bool:
        if self._stopping:
            listener.tell([(row, TemporarilyUnavailable()) for row in rows])
        return listener.wanted() and not self._stopping


def _rounds(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows of different shipments together, first all shipments' first rows."""
    rounds: list[list[Row]] = []
    seen: Counter[str] = Counter()
    for row in rows:
        number = row.completion.shipment_number
        if seen[number] == len(rounds):
            rounds.append([])
        rounds[seen[number]].append(row)
        seen[number] += 1
    return rounds
