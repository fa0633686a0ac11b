"""`waybill dead`: what a consumer could not handle, and what becomes of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from aio_pika.abc import AbstractConnection
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from consumers.dead_letters import DeadLetter, Wanted, browse, drop, replay
from schemas.topology import ConsumerTopology
from service.commands.broker import QueueArgument, topology_named, with_broker
from service.commands.output import age, fail, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Dead letters: what a consumer could not handle.")

EVERYTHING = sys.maxsize

IdOption = Annotated[list[str], typer.Option("--id", help="Message id, as `list` shows it; repeat for more.")]
ReasonOption = Annotated[str, typer.Option(help="Those whose reason contains this text.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    queue: QueueArgument,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, oldest first.")] = 50,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first. Changes nothing."""
    topology = topology_named(queue)
    wanted = _wanted([], reason, everything=not reason)
    letters = with_broker(lambda connection: browse(connection, topology, limit=limit, wanted=wanted))
    if as_json:
        print_json([_as_json(letter) for letter in letters])
        return
    print_table(
        ("id", "shipment", "age", "attempts", "reason"),
        [
            (
                letter.message_id or "-",
                letter.shipment_number or "-",
                age(letter.dead_at),
                str(letter.attempts),
                letter.reason,
            )
            for letter in letters
        ],
    )


@app.command("show")
def show(queue: QueueArgument, message_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show one dead letter whole, as JSON. Changes nothing."""
    topology = topology_named(queue)
    letters = with_broker(
        lambda connection: browse(connection, topology, limit=1, wanted=_wanted([message_id], "", everything=False))
    )
    if not letters:
        raise fail(f"no dead letter of {queue} has the id {message_id}")
    [letter] = letters
    body = letter.body.decode(errors="replace")
    try:
        shown: Any = json.loads(body)
    except (ValueError, RecursionError):
        shown = body
    headers = {
        name: value if isinstance(value, int | float | bool) else str(value) for name, value in letter.headers.items()
    }
    print_json({**_as_json(letter), "headers": headers, "body": shown})


@app.command("replay")
def replay_(
    queue: QueueArgument,
    *,
    ids: IdOption = [],  # noqa: B006 - typer copies it
    reason: ReasonOption = "",
    everything: AllOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Send dead letters back to this consumer alone, as if new: its work queue gets them, nobody else does."""
    _act(queue, ids, reason, everything=everything, dry_run=dry_run, verb="replayed", action=replay)


@app.command("drop")
def drop_(
    queue: QueueArgument,
    *,
    ids: IdOption = [],  # noqa: B006 - typer copies it
    reason: ReasonOption = "",
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete dead letters for good. The events themselves stay in the history."""
    if not (dry_run or yes):
        typer.confirm(f"Delete dead letters of {queue} for good?", abort=True)
    _act(queue, ids, reason, everything=everything, dry_run=dry_run, verb="dropped", action=drop)


def _act(
    queue: str,
    ids: list[str],
    reason: str,
    *,
    everything: bool,
    dry_run: bool,
    verb: str,
    action: Callable[..., Any],
) -> None:
    if not (ids or reason or everything):
        raise typer.BadParameter("say which: --id, --reason or --all")
    topology = topology_named(queue)
    wanted = _wanted(ids, reason, everything=everything)
    candidates = with_broker(lambda connection: browse(connection, topology, limit=EVERYTHING, wanted=wanted))
    missing = sorted(set(ids) - {letter.message_id for letter in candidates})
    if missing:
        raise fail(f"no dead letter of {queue} has the id {', '.join(missing)}; nothing was {verb}")
    if dry_run:
        typer.echo(f"{len(candidates)} would be {verb}")
        return
    done = with_broker(lambda connection: _with_progress(connection, topology, wanted, len(candidates), action))
    typer.echo(f"{done} {verb}")


async def _with_progress(
    connection: AbstractConnection, topology: ConsumerTopology, wanted: Wanted, total: int, action: Callable[..., Any]
) -> int:
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("dead letters", total=total)
        done: int = await action(connection, topology, wanted=wanted, on_letter=lambda _: progress.advance(task))
    return done


def _wanted(ids: list[str], reason: str, *, everything: bool) -> Wanted:
    def wanted(letter: DeadLetter) -> bool:
        return (not ids or letter.message_id in ids) and reason.lower() in letter.reason.lower()

    return (lambda _: True) if everything and not ids and not reason else wanted


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.message_id,
        "shipment": letter.shipment_number,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "deadAt": letter.dead_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if letter.dead_at else None,
        "ageSeconds": int((datetime.now(UTC) - letter.dead_at).total_seconds()) if letter.dead_at else None,
    }
