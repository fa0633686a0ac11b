"""Publishing many events at once. Waiting for each confirmation before the next publish would be five times slower."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from publishers.broker import Session
from publishers.message import destination, event_message


async def publish_together(session: Session, rows: Sequence[Any], *, timeout_s: float) -> dict[int, Exception | None]:
    """Publish the rows of claim_due; return for each row's seq how that ended, None for taken.

    What is not confirmed within `timeout_s` ends as TimeoutError, and the session with it.
    """
    outcomes: dict[int, Exception | None] = {row["seq"]: TimeoutError("not confirmed in time") for row in rows}
    turns: dict[Any, list[Any]] = {}
    for row in rows:
        turns.setdefault(row["event_id"], []).append(row)

    async def publish_in_turn(same_event: list[Any]) -> None:
        # One after the other: an id must not be in flight twice on a channel.
        for row in same_event:
            exchange, routing_key = destination(row)
            try:
                await session.publish(event_message(row), exchange=exchange, routing_key=routing_key)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one row, the others must go out
                outcomes[row["seq"]] = error
            else:
                outcomes[row["seq"]] = None

    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            for same_event in turns.values():
                group.create_task(publish_in_turn(same_event))
    except TimeoutError:
        # The ids of what was not answered are still in flight on this channel.
        session.end("not confirmed in time")
    return outcomes
