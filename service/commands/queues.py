"""`waybill queues`: how full everything is between a commit and its effect."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from consumers.depths import Depths, depths
from consumers.registry import CONSUMERS, Consumer
from service.commands.broker import connected
from service.commands.output import age, print_json, print_table
from service.settings import Settings, load_settings
from service.wiring import PooledConnection, open_pool
from sql import queries as named_queries

# How far back the oldest unhandled event is looked for.
NEWEST_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class Outbox:
    """What the relay still has to publish."""

    waiting: int
    failing: int
    oldest: datetime | None


def queues(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the outbox and every consumer's queues: waiting, workers, oldest event, retries and dead letters."""
    settings = load_settings()
    settings.require("database_url", "amqp_url")
    outbox, rows = asyncio.run(_look(settings))
    if as_json:
        print_json(
            {
                "outbox": {**asdict(outbox), "oldest": _iso(outbox.oldest)},
                "queues": [{"queue": name, **asdict(found), "oldest": _iso(oldest)} for name, found, oldest in rows],
            }
        )
        return
    typer.echo(f"outbox: {outbox.waiting} waiting, {outbox.failing} of them failing, oldest {age(outbox.oldest)}\n")
    print_table(
        ("queue", "ready", "workers", "oldest unhandled", "retrying", "dead"),
        [
            (
                name,
                "not declared" if found.ready is None else str(found.ready),
                str(found.consumers),
                age(oldest),
                str(found.retrying),
                str(found.dead),
            )
            for name, found, oldest in rows
        ],
    )


async def _look(settings: Settings) -> tuple[Outbox, list[tuple[str, Depths, datetime | None]]]:
    async with (
        open_pool(settings, name="queues", size=1, standby_too=True, plan_once=False) as pool,
        pool.acquire() as connection,
    ):
        row: Any = await named_queries("events").outbox_depth(connection)
        outbox = Outbox(row["waiting"], row["failing"], row["oldest"])
        oldest = {name: await _oldest_unhandled(connection, consumer) for name, consumer in CONSUMERS.items()}
    async with connected(settings) as broker:
        found = {
            name: await depths(broker, consumer.topology(settings.worker_retry_delays_s))
            for name, consumer in CONSUMERS.items()
        }
    # Where nothing waits, what is unhandled was published before the consumer's queue was first there.
    return outbox, [(name, found[name], oldest[name] if _waiting(found[name]) else None) for name in CONSUMERS]


def _waiting(found: Depths) -> bool:
    return bool(found.ready or found.retrying or found.dead)


async def _oldest_unhandled(connection: PooledConnection, consumer: Consumer) -> datetime | None:
    moment: datetime | None = await named_queries("events").oldest_unhandled(
        connection, consumer=consumer.name, types=list(consumer.routing_keys), window=NEWEST_EVENTS
    )
    return moment


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
