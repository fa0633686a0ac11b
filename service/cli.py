"""The `waybill` command line: one command per process and per thing an operator does."""

from __future__ import annotations

import sys

import typer

from service.commands import (
    api,
    dead,
    dev,
    email,
    events,
    inbox,
    keys,
    migrate,
    orders,
    queues,
    relay,
    sandbox_provider,
    stores,
    worker,
)
from service.settings import SettingsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Waybill completes shipments: payment captured once, shipment marked, customer mailed.",
)
app.command("api")(api.api)
app.command("dev")(dev.dev)
app.command("inbox", hidden=True)(inbox.inbox)
app.command("migrate")(migrate.migrate)
app.command("queues")(queues.queues)
app.command("relay")(relay.relay)
app.command("sandbox-provider", hidden=True)(sandbox_provider.sandbox_provider)
app.command("worker")(worker.worker)
app.add_typer(dead.app, name="dead")
app.add_typer(email.app, name="email")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
app.add_typer(orders.app, name="orders")
app.add_typer(stores.app, name="stores")


def main() -> None:
    """Run the command line; a wrong setting ends with its name and exit code 2."""
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"waybill: {error}\n")
        sys.exit(2)
