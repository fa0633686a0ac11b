"""`waybill webhooks deliveries` and `retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.database import with_database
from service.commands.output import fail
from service.commands.webhook_tables import print_attempts, print_deliveries
from service.webhook_deliveries import Status, list_attempts, list_deliveries, retry_deliveries


def deliveries(
    delivery: Annotated[int | None, typer.Argument(metavar="[DELIVERY]", help="One, with all its attempts.")] = None,
    *,
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint's.")] = None,
    status: Annotated[
        Status | None, typer.Option(case_sensitive=False, help="Only these; held: its endpoint is disabled.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List deliveries, newest first, each with its last attempt."""
    found = with_database(
        "webhooks",
        lambda connection: list_deliveries(
            connection, delivery_id=delivery, endpoint_id=endpoint, status=status, most=limit
        ),
    )
    if delivery is None:
        print_deliveries(found, as_json=as_json)
        return
    if not found:
        raise fail(f"there is no delivery {delivery}")
    print_attempts(
        found[0], with_database("webhooks", lambda connection: list_attempts(connection, delivery)), as_json=as_json
    )


def retry(
    delivery: Annotated[list[int] | None, typer.Argument(metavar="[DELIVERY]…", help="These deliveries.")] = None,
    *,
    endpoint: Annotated[str | None, typer.Option(help="All of this endpoint.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of all endpoints.")] = False,
) -> None:
    """Send again what was given up, and now what waits for its next attempt. What was delivered stays delivered."""
    if bool(delivery) + bool(endpoint) + everything != 1:
        raise typer.BadParameter("say which: numbers of deliveries, --endpoint or --all")
    named = sorted(set(delivery or ()))
    retried = with_database(
        "webhooks",
        lambda connection: retry_deliveries(connection, delivery_ids=named or None, endpoint_id=endpoint),
    )
    typer.echo(f"{retried.due} deliveries are due now")
    if retried.held:
        typer.echo(f"{retried.held} of them wait: their endpoint is disabled (`waybill webhooks enable`)", err=True)
    if missing := len(named) - retried.due if named else 0:
        raise fail(f"{missing} of those named are delivered, being sent or unknown")
