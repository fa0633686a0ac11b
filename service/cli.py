"""The `waybill` command line: one command per process and per thing an operator does."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from service.settings import SettingsError

# A function is a command, a typer app a group of them.
COMMANDS = {
    "api": "service.commands.api:api",
    "complete": "service.commands.complete:complete",
    "dead": "service.commands.dead:app",
    "dev": "service.commands.dev:dev",
    "email": "service.commands.email:app",
    "events": "service.commands.events:app",
    "inbox": "service.commands.inbox:inbox",
    "keys": "service.commands.keys:app",
    "maintain": "service.commands.maintain:maintain",
    "migrate": "service.commands.migrate:migrate",
    "orders": "service.commands.orders:app",
    "queues": "service.commands.queues:queues",
    "reconcile": "service.commands.reconcile:reconcile",
    "relay": "service.commands.relay:relay",
    "sandbox-provider": "service.commands.sandbox_provider:sandbox_provider",
    "stores": "service.commands.stores:app",
    "webhooks": "service.commands.webhooks:app",
    "worker": "service.commands.worker:worker",
}
# Parts of `waybill dev`, of no use by themselves.
HIDDEN = {"inbox", "sandbox-provider"}


def build(wanted: str | None = None) -> typer.Typer:
    """Return the command line, with the `wanted` command alone if there is one of that name.

    A relay has no use for PDF and OpenAPI libraries: importing all commands takes a second and twice the memory.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def about() -> None:
        """Waybill completes shipments: payment captured once, shipment marked, customer mailed."""

    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        module, attribute = COMMANDS[name].split(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, hidden=name in HIDDEN)
        else:
            app.command(name, hidden=name in HIDDEN)(command)
    return app


def main() -> None:
    """Run the command line; a wrong setting ends with its name and exit code 2."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except SettingsError as error:
        sys.stderr.write(f"waybill: {error}\n")
        sys.exit(2)
