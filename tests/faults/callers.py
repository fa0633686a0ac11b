"""Callers as they are: they ask at a fixed rate whatever the answers, ask again, and ask twice at once."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from random import Random

from service.http.errors import RETRY_AFTER_S
from tests.faults.ledgers import Told
from tests.faults.stack import Stack

DECLINE = "sandbox:decline"
# Of a hundred orders: how many by authorization, and into how many shipments they are split.
MIX = (
    ("sandbox:ok", 1, 70),
    ("sandbox:ok", 2, 18),
    ("sandbox:slow:300", 1, 4),
    ("sandbox:flaky:2", 1, 4),
    ("sandbox:lost", 1, 1),
    (DECLINE, 1, 3),
)
PATIENCE_S = 60
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 5.0
TWICE_AT_ONCE = 0.1
ONCE_MORE = 0.05
AT_ONCE_AT_THE_END = 8
KNOWN = {Told.SHIPPED, Told.ALREADY}


@dataclass
class Callers:
    """`open` are the shipments whose callers know nothing certain yet; of `hopeless` ones the money is refused."""

    stack: Stack
    random: Random
    rate: float
    attempts: int = 6
    open: set[str] = field(default_factory=set)
    hopeless: set[str] = field(default_factory=set)
    begun: int = 0
    _ready: deque[str] = field(default_factory=deque)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def call_for(self, seconds: float) -> None:
        """Begin `rate` completions a second for so long, then wait until every caller has given up or got through."""
        loop = asyncio.get_running_loop()
        await self._order()
        began = loop.time()
        ordering: asyncio.Task[None] | None = None
        for n in range(int(seconds * self.rate)):
            # A late one is made up for: the rate does not follow the answers.
            await asyncio.sleep(began + n / self.rate - loop.time())
            if len(self._ready) < 2 * self.rate and (ordering is None or ordering.done()):
                ordering = asyncio.create_task(self._order())
            if not self._ready and ordering is not None:
                await ordering
            self._begin(self._ready.popleft())
        if ordering is not None:
            await ordering
        await asyncio.gather(*self._running)

    async def finish(self, *, rounds: int) -> list[str]:
        """Ask again for what is open, round by round; return what is open then although its money is good."""
        # Everybody at once would be a fault of its own.
        limit = asyncio.Semaphore(AT_ONCE_AT_THE_END)

        async def ask(number: str) -> None:
            async with limit:
                await self._ask(number, attempts=1)

        for _ in range(rounds):
            await asyncio.gather(*(ask(number) for number in sorted(self.open)))
            if self.open <= self.hopeless:
                break
        return sorted(self.open - self.hopeless)

    async def _order(self) -> None:
        hundreds = max(1, round(self.rate * 4 / 100))
        made: list[str] = []
        for authorization, parts, share in MIX:
            numbers = await self.stack.order(share * hundreds, authorization=authorization, parts=parts)
            if authorization == DECLINE:
                self.hopeless.update(numbers)
            made += numbers
        self.random.shuffle(made)
        self._ready.extend(made)

    def _begin(self, number: str) -> None:
        self.begun += 1
        self.open.add(number)
        task = asyncio.create_task(self._ask(number, attempts=self.attempts))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self, number: str, *, attempts: int) -> None:
        wait_s = FIRST_WAIT_S
        for _ in range(attempts):
            at_once = self.random.randint(2, 4) if self.random.random() < TWICE_AT_ONCE else 1
            calls = [self.stack.complete(number, timeout_s=PATIENCE_S) for _ in range(at_once)]
            answers = await asyncio.gather(*calls)
            if KNOWN & {call.told for call in answers}:
                self.open.discard(number)
                if self.random.random() < ONCE_MORE:
                    await self.stack.complete(number, timeout_s=PATIENCE_S)
                return
            if attempts == 1:
                return
            # A 503 says when to come again.
            asked_for = RETRY_AFTER_S if any(call.status == 503 for call in answers) else 0
            await asyncio.sleep(max(asked_for, wait_s * 0.5) + wait_s * self.random.uniform(0, 0.5))
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
