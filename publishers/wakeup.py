"""Telling relays that there is something to publish, so that nobody has to poll often. Losing a word costs a poll.

The front says it with NOTIFY after its commit, in a statement of its own. Inside the transaction it would take the
one lock that all notifying commits of a database share and hold it until the commit is on disk, which makes every
completion wait for every other one's disk. By itself it writes nothing and waits for no disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

import sql
from publishers.backoff import reconnect_delays_s

CHANNEL: Final = "waybill_outbox"
# A process says it at most this often. Who was told goes on looking for as long, of its own accord: whatever was
# committed while the throttle kept silent is visible to its last look.
THROTTLE_S: Final = 0.1
PING_EVERY_S: Final = 10.0
PING_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 2.0

# The last one is what asyncpg raises on a connection that the server ended while nobody was using it.
DATABASE_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncpg.InternalClientError)

_log = structlog.get_logger()


class RelayWakeup:
    """The front's side, one for each process."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    async def wake(self, connection: Any) -> None:  # noqa: ANN401 - a connection or a pool's proxy of one
        """Tell the relays; to be called after the commit, outside any transaction. Never raises for the database.

        What the caller wanted is committed: failing to tell must not look as if it were not.
        """
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            return
        self._silent_until = now + THROTTLE_S
        try:
            await sql.queries("outbox").wake_relays(connection, channel=CHANNEL)
        except DATABASE_ERRORS as error:
            # Nobody was told, so that nobody looks for what we keep silent about.
            self._silent_until = now
            _log.warning("relay_not_woken", reason=type(error).__name__)


@dataclass(frozen=True, slots=True)
class Wakeup:
    """The relay's side. `due`: there may be something to publish. `ready`: connected and listening."""

    due: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def listen(database_url: str, wakeup: Wakeup) -> AsyncIterator[None]:
    """Keep one connection of its own listening while the block runs, whatever becomes of the connection.

    Not one of the pool's: a pool resets its connections, and forgets what they listen to.
    """
    listening = asyncio.create_task(_listen_for_ever(database_url, wakeup))
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _listen_for_ever(database_url: str, wakeup: Wakeup) -> None:
    delays = reconnect_delays_s()
    while True:
        try:
            connection = await asyncpg.connect(
                database_url,
                timeout=PING_TIMEOUT_S,
                command_timeout=PING_TIMEOUT_S,
                server_settings={"application_name": "waybill relay wakeup"},
            )
            try:
                await connection.add_listener(CHANNEL, lambda *_: wakeup.due.set())
                wakeup.ready.set()
                # For what was said while nobody listened.
                wakeup.due.set()
                delays = reconnect_delays_s()
                reason = await _watch(connection)
            finally:
                wakeup.ready.clear()
                with suppress(*DATABASE_ERRORS):
                    await connection.close(timeout=CLOSE_TIMEOUT_S)
        except DATABASE_ERRORS as error:
            reason = type(error).__name__
        delay_s = next(delays)
        _log.warning("wakeup_lost", reason=reason, retry_in_s=round(delay_s, 2))
        await asyncio.sleep(delay_s)


async def _watch(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """Return once the connection has ended. A link that died without a word is found by the ping, which raises."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    while not connection.is_closed():
        try:
            async with asyncio.timeout(PING_EVERY_S):
                await ended.wait()
        except TimeoutError:
            await sql.queries("outbox").ping(connection)
    return "connection ended"
