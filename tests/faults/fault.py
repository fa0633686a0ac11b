"""One fault, and what it is done to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from service.settings import Settings
from tests.faults.findings import Kind
from tests.faults.private_servers import PrivateBroker, PrivatePostgres
from tests.faults.stack import Stack

# As short as a machine that others use too lets them be.
IMPATIENT: dict[str, Any] = {
    "database_acquire_timeout_s": 1,
    "lock_timeout_s": 1,
    "capture_timeout_s": 1,
    "idle_in_transaction_timeout_s": 3,
    "shutdown_timeout_s": 5,
    "publish_timeout_s": 2,
    # Not so the mail server's: a mail would be given up, and sent again, for no fault but a busy machine.
    "smtp_timeout_s": 15,
    "database_pool_size": 3,
    "payment_pool_size": 6,
}
SLOW_MACHINE_S = 3.0


@dataclass
class Rig:
    """A running stack, and those servers behind it that are its own."""

    stack: Stack
    postgres: PrivatePostgres | None = None
    broker: PrivateBroker | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def admin(self) -> asyncpg.Pool[asyncpg.Record]:
        """A way to the database that no fault is in."""
        return self.stack.pool


def answer_deadline_s(settings: Settings) -> float:
    """Return how long an answer may take at most, whatever happens.

    A request waits for its turn and for a connection. Then one statement meets the server's lock time-out or, if the
    server is silent, the client's own, which is 5 s longer, or the provider its deadline; and a silent connection is
    given up while it is rolled back and handed back.
    """
    turn = lock = settings.lock_timeout_s
    connection = settings.database_acquire_timeout_s
    statement = lock + 5
    return turn + connection + max(statement, settings.capture_timeout_s) + statement + connection + SLOW_MACHINE_S


Strike = Callable[[Rig], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens, how the system shows it, and what it may cost.

    `strike` is a context: the fault lasts as long as it. `amid`: completions are under way when it begins. `ready` is
    what `/readyz` answers meanwhile; None: not asked. `logged` names, by process, lines of which at least one tells.
    `statuses` are the answers that callers may get meanwhile; `refused`: who comes after its beginning is not told 200.
    An answer may take `standstill_s` longer, because the process that owes it stands still for so long.
    """

    name: str
    strike: Strike
    step: str
    amid: bool = True
    authorization: str = "sandbox:ok"
    callers: int = 4
    ready: int | None = 200
    statuses: Collection[int | None] = (200, 500, 503)
    refused: bool = False
    standstill_s: float = 0
    logged: Mapping[str, Collection[str]] = field(default_factory=dict)
    mails_may_repeat: bool = False
    tolerated: Collection[Kind] = ()
    repetitions: int = 5
    note: str = ""


async def in_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Call something that blocks."""
    await asyncio.to_thread(function, *arguments)
