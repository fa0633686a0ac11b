"""One caller at a time for each shipment, within one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    """Who has come for a name: one works, the others wait for the lock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0


@dataclass(frozen=True, slots=True)
class Turns:
    """Lets one caller at a time work on a shipment within this process.

    Repeated calls for one shipment would otherwise each hold a connection while they wait for its row lock, and a
    single impatient partner could drain the pool. The row lock stays what makes it right; this keeps it cheap.
    """

    _turns: dict[str, _Turn] = field(default_factory=dict)

    @asynccontextmanager
    async def hold(self, name: str, *, timeout_s: float) -> AsyncIterator[None]:
        """Wait for the turn of `name`. Raises `TimeoutError` after `timeout_s`."""
        turn = self._turns.setdefault(name, _Turn())
        turn.callers += 1
        try:
            # Nearly everybody is alone and pays for no timer.
            async with asyncio.timeout(timeout_s) if turn.callers > 1 else nullcontext():
                await turn.lock.acquire()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.callers -= 1
            if turn.callers == 0:
                del self._turns[name]
