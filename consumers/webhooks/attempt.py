"""One attempt at one delivery: the request, what follows from its end, and writing that down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final, assert_never

import asyncpg
import structlog
from structlog.contextvars import bound_contextvars

import sql
from consumers.delivery import trace_id_of
from consumers.inbox import Pool
from consumers.webhooks.answer import Accepted, Answer, Failed, Verdict, judge
from consumers.webhooks.client import Client
from consumers.webhooks.due import Due
from consumers.webhooks.message import event_message

FIRST_BACKOFF_S: Final = 0.2
LONGEST_BACKOFF_S: Final = 5.0
QUERY_TIMEOUT_S: Final = 10.0
# At most this part is added to a wait.
MOST_STRETCH: Final = 0.1

DATABASE_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

log = structlog.get_logger()


async def request(client: Client, due: Due) -> Answer:
    """Send the webhook. Never raises for what happens on the way."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        return await client.send(due.url, event_message(due))
    except Exception as error:
        # A bug of ours is a failed attempt too, or it would be met again and again without end.
        log.exception("webhook_not_sent", event_id=str(due.event_id), endpoint_id=due.endpoint_id)
        return Answer(clock() - began, error=f"unexpected {type(error).__name__}")


def decide(answer: Answer, due: Due, delays_s: Sequence[float]) -> Verdict:
    """Return what follows from `answer`, with some jitter."""
    stretch = 1 + random.uniform(0, MOST_STRETCH)  # noqa: S311 - spreads load, guards no secret
    return judge(answer, failures=due.failures, delays_s=delays_s, stretch=stretch)


async def record(
    pool: Pool,
    due: Due,
    answer: Answer,
    verdict: Verdict,
    *,
    disable_after_s: float,
    until: float,
) -> None:
    """Write the attempt down, trying until `until` by the loop's clock; what is not written down is sent again."""
    clock = asyncio.get_running_loop().time
    backoff_s = FIRST_BACKOFF_S
    written = None
    with bound_contextvars(
        event_id=str(due.event_id),
        request_id=due.request_id,
        trace_id=trace_id_of(due.traceparent),
        endpoint_id=due.endpoint_id,
        partner=due.partner,
    ):
        while written is None:
            try:
                async with asyncio.timeout(QUERY_TIMEOUT_S):
                    written = await _write(pool, due, answer, verdict, disable_after_s=disable_after_s) or {}
            except DATABASE_ERRORS as error:
                if clock() + backoff_s > until:
                    log.warning("webhook_result_lost", reason=f"database: {type(error).__name__}")
                    return
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
        _tell(due, answer, verdict, written)


async def _write(pool: Pool, due: Due, answer: Answer, verdict: Verdict, *, disable_after_s: float) -> Any:  # noqa: ANN401 - a row
    common = {"id": due.id, "took_s": answer.took_s, "code": answer.code, "excerpt": answer.excerpt}
    match verdict:
        case Accepted():
            return await sql.queries("webhooks").record_success(pool, **common)
        case Failed():
            return await sql.queries("webhooks").record_failure(
                pool,
                **common,
                lease=due.lease,
                error=verdict.reason,
                retry_in_s=verdict.retry_in_s,
                pause_s=verdict.pause_s,
                gone=verdict.gone,
                disable_after_s=disable_after_s,
            )
        case _:
            assert_never(verdict)


def _tell(due: Due, answer: Answer, verdict: Verdict, written: Any) -> None:  # noqa: ANN401 - a row
    line = log.bind(
        type=due.type,
        shipment_number=due.subject,
        delivery_id=due.id,
        # Unknown if somebody else has settled it, or it was removed.
        attempt=written.get("attempts"),
        code=answer.code,
        duration_ms=round(answer.took_s * 1000, 1),
    )
    match verdict:
        case Accepted():
            line.info("webhook_attempted", outcome="accepted")
        case Failed(reason, retry_in_s) if retry_in_s is not None:
            line.warning("webhook_attempted", outcome="failed", reason=reason, retry_in_s=round(retry_in_s, 1))
        case Failed(reason):
            line.error("webhook_attempted", outcome="given_up", reason=reason)
        case _:
            assert_never(verdict)
    if written.get("disabled_now"):
        log.error("webhook_endpoint_disabled", reason=written["disabled_now"])
