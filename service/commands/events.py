"""`waybill events`: the history of events, and sending some of it to one queue again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import aio_pika
import typer
from aio_pika.exceptions import ChannelNotFoundEntity
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from publishers.wakeup import RelayWakeup
from schemas.events import EventType
from service.commands.broker import connected
from service.commands.database import with_database
from service.commands.output import fail, print_json, print_table
from service.settings import Settings, load_settings
from service.wiring import PooledConnection
from sql import queries

app = typer.Typer(no_args_is_help=True, help="The event history.")

BATCH = 1000
BEFORE_ALL = UUID(int=0)

ShipmentOption = Annotated[str | None, typer.Option("--shipment", help="Of this shipment.")]
TypeOption = Annotated[EventType | None, typer.Option("--type", help="Of this type.")]
SinceOption = Annotated[datetime | None, typer.Option(help="From this moment on, UTC.")]
UntilOption = Annotated[datetime | None, typer.Option(help="Before this moment, UTC.")]


@app.command("list")
def list_(
    *,
    shipment: ShipmentOption = None,
    kind: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List events, newest first."""

    async def fetch(connection: PooledConnection) -> list[Any]:
        chosen = _filters(shipment, kind, since, until)
        return [row async for row in queries("events").list_events(connection, **chosen, limit=limit)]

    rows = with_database("events", fetch)
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    print_table(
        ("id", "when", "type", "shipment", "sequence", "request", "published"),
        [
            (
                str(row["id"]),
                f"{row['occurred_at']:%Y-%m-%d %H:%M:%S}",
                row["type"],
                row["subject"],
                str(row["sequence"]),
                row["request_id"],
                "waiting" if row["in_outbox"] else "yes",
            )
            for row in rows
        ],
    )


@app.command("show")
def show(event_id: Annotated[UUID, typer.Argument(metavar="ID")]) -> None:
    """Show one event whole, as JSON."""
    row = with_database("events", lambda connection: queries("events").find_event(connection, id=event_id))
    if row is None:
        raise fail(f"no event has the id {event_id}")
    print_json({**_as_json(row), "traceparent": row["traceparent"], "body": json.loads(row["body"])})


@app.command("replay")
def replay(
    *,
    queue: Annotated[str, typer.Option("--queue", help="Full name of the one queue that gets them.")],
    ids: Annotated[list[UUID], typer.Option("--id", help="This event; repeat for more.")] = [],  # noqa: B006
    shipment: ShipmentOption = None,
    kind: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole history.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
) -> None:
    """Send events of the history to one queue again, oldest first, through the relay; nobody else gets them.

    The events keep their ids, so a consumer that has handled one passes it over.
    """
    chosen = _filters(shipment, kind, since, until)
    if not (ids or everything or any(value is not None for value in chosen.values())):
        raise typer.BadParameter("say which: --id, --shipment, --type, --since, --until or --all")
    settings = load_settings()
    settings.require("database_url", "amqp_url")
    asyncio.run(_check_queue(settings, queue))
    chosen["ids"] = ids or None
    total = with_database("events", lambda connection: queries("events").count_events(connection, **chosen))
    if dry_run:
        typer.echo(f"{total} would be sent to {queue}")
        return
    done = with_database("events", lambda connection: _replay(connection, queue, chosen, total))
    typer.echo(f"{done} on their way to {queue}")


async def _replay(connection: PooledConnection, queue: str, chosen: dict[str, Any], total: int) -> int:
    done, after = 0, BEFORE_ALL
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("events", total=total)
        while True:
            batch = await queries("events").replay_events(connection, **chosen, queue=queue, after=after, limit=BATCH)
            if not batch["events"]:
                break
            done, after = done + batch["events"], batch["last"]
            progress.update(task, completed=done)
            await RelayWakeup().wake(connection)
    return done


async def _check_queue(settings: Settings, queue: str) -> None:
    """A queue that does not exist would keep the events in the outbox for ever."""
    async with connected(settings) as broker:
        try:
            async with broker.channel() as channel:
                await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            raise fail(f"the broker has no queue {queue}; nothing was sent") from None
        except aio_pika.exceptions.AMQPError as error:
            raise fail(f"the broker does not let us see {queue}: {error}") from None


def _filters(
    shipment: str | None, kind: EventType | None, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    return {
        "shipment_number": shipment,
        "type": kind.value if kind else None,
        "since": since.replace(tzinfo=UTC) if since else None,
        "until": until.replace(tzinfo=UTC) if until else None,
    }


def _as_json(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of the history
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "shipment": row["subject"],
        "sequence": row["sequence"],
        "occurredAt": row["occurred_at"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestId": row["request_id"],
        "published": not row["in_outbox"],
    }
