"""From the outbox to the broker: claim, publish, confirm, delete. Any number of relays may run at once.

A round is one transaction: a crash at any point rolls it back, and the rows are simply still there. What had been
published by then is published again with the same id, by which consumers know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

import sql
from publishers.backoff import reconnect_delays_s
from publishers.batch import publish_together
from publishers.broker import Session, SessionEnded
from publishers.verdict import RETRY_CAP_S, judge, tell_unrouted
from publishers.wakeup import DATABASE_ERRORS, THROTTLE_S

# The database ends a round of which it hears nothing for this long after the broker's deadline.
ROUND_MARGIN_S: Final = 10.0
# A channel keeps what it knows of a quorum queue: one opened while the queue had just lost its leader may refuse until
# the leader's node is back, although a new channel would not. A queue that is full refuses on every channel, so that
# sessions are not renewed more often than this.
RENEW_AFTER_S: Final = 2.0
# While events come one by one, a round each costs relay, database and broker a multiple of what the events themselves
# cost. So the first one goes out at once, and what comes within this time after a round goes out together.
REST_S: Final = 0.02

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, how often, how long. Seconds."""

    batch_size: int
    poll_s: float
    publish_timeout_s: float


async def run_once(
    pool: asyncpg.Pool[asyncpg.Record], session: Session, *, pace: Pace, required: Collection[str]
) -> int:
    """Publish up to `batch_size` due rows together; return how many were due, whatever became of them.

    `required` are the event types that some queue must take. Raises only what the database raises.
    """
    started = asyncio.get_running_loop().time()
    queries = sql.queries("outbox")
    async with pool.acquire() as connection, connection.transaction():
        await queries.begin_round(connection, idle_ms=str(int((pace.publish_timeout_s + ROUND_MARGIN_S) * 1000)))
        rows = [row async for row in queries.claim_due(connection, batch_size=pace.batch_size)]
        if not rows:
            await queries.recall_distant(connection, longest_wait_s=2 * RETRY_CAP_S, batch_size=pace.batch_size)
            return 0
        outcomes = await publish_together(session, rows, timeout_s=pace.publish_timeout_s)
        verdicts = {row["seq"]: judge(row, outcomes[row["seq"]], required=required) for row in rows}
        failures = {seq: failure for seq, failure in verdicts.items() if failure is not None}
        if len(failures) < len(rows):
            await queries.delete_published(connection, seqs=[seq for seq in verdicts if seq not in failures])
        if failures:
            await queries.postpone(
                connection,
                seqs=list(failures),
                delays_s=[failure.delay_s for failure in failures.values()],
                errors=[failure.error for failure in failures.values()],
            )
    _log.info(
        "relay_batch",
        published=len(rows) - len(failures),
        postponed=len(failures),
        duration_s=round(asyncio.get_running_loop().time() - started, 4),
        oldest_age_s=round(max(row["age_s"] for row in rows), 3),
    )
    tell_unrouted(rows, failures)
    return len(rows)


async def run(
    pool: asyncpg.Pool[asyncpg.Record],
    connect: Callable[[], AbstractAsyncContextManager[Session]],
    *,
    pace: Pace,
    required: Collection[str],
    due: asyncio.Event,
    stop: asyncio.Event,
    grace_s: float,
) -> None:
    """Relay until `stop`, then let the running round end, for at most `grace_s`.

    `connect` opens a session; `due` is set when there may be something to publish. The loss of the broker or the
    database is waited out. What else `connect` raises ends the relay.
    """
    in_round = asyncio.Lock()

    async def publish_due(session: Session) -> int:
        async with in_round:
            return await run_once(pool, session, pace=pace, required=required)

    relaying = asyncio.create_task(_keep_sessions(connect, publish_due, pace=pace, due=due))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({relaying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not relaying.done():
            # Whoever holds this lock knows that no round runs: what is cancelled now only waits or connects.
            with suppress(TimeoutError):
                await asyncio.wait_for(in_round.acquire(), grace_s)
    finally:
        stopping.cancel()
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying


async def _keep_sessions(
    connect: Callable[[], AbstractAsyncContextManager[Session]],
    publish_due: Callable[[Session], Awaitable[int]],
    *,
    pace: Pace,
    due: asyncio.Event,
) -> None:
    """Publish over one session after the other, for ever."""
    delays = reconnect_delays_s()
    event = "relay_started"
    while True:
        try:
            async with connect() as session:
                _log.info(event)
                event = "broker_found_again"
                if await _use(session, publish_due, pace=pace, due=due):
                    delays = reconnect_delays_s()
                reason = session.reason
        except SessionEnded as error:
            reason = str(error)
        delay_s = next(delays)
        _log.warning("broker_lost", reason=reason, retry_in_s=round(delay_s, 2))
        await asyncio.sleep(delay_s)


async def _use(
    session: Session, publish_due: Callable[[Session], Awaitable[int]], *, pace: Pace, due: asyncio.Event
) -> bool:
    """Publish whenever something is due until the session ends; return whether it has survived any round."""
    survived = False
    delays = reconnect_delays_s()
    loop = asyncio.get_running_loop()
    renewable_at = loop.time() + RENEW_AFTER_S
    # What was said before may have been said to an earlier session.
    attentive_until = loop.time() + THROTTLE_S
    while not session.ended.is_set():
        if session.refused and loop.time() >= renewable_at:
            session.end("the broker refuses messages, a new session may find it otherwise")
            break
        began = loop.time()
        if due.is_set():
            # Before the look at the outbox, so that what is said during the look leads to another one.
            due.clear()
            attentive_until = began + THROTTLE_S
        try:
            claimed = await publish_due(session)
        except DATABASE_ERRORS as error:
            delay_s = next(delays)
            _log.warning("database_lost", reason=f"{type(error).__name__}: {error}", retry_in_s=round(delay_s, 2))
            await _first_of(session.ended, timeout_s=delay_s)
            continue
        delays = reconnect_delays_s()
        survived = survived or not session.ended.is_set()
        if claimed == pace.batch_size:
            continue
        if began < attentive_until:
            await _first_of(session.ended, timeout_s=REST_S)
        else:
            await _first_of(session.ended, due, timeout_s=pace.poll_s)
    return survived


async def _first_of(*events: asyncio.Event, timeout_s: float) -> None:
    """Return once one of the events is set, or after `timeout_s`."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
