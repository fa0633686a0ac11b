"""`waybill dev`: everything on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.settings import SettingsError, load_settings


def dev(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API; default WAYBILL_PORT, else 8080.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder of all data; made if it is not there.")] = Path(".waybill"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete all data first.")] = False,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Load no demo orders.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="API processes that share the port.")] = 1,
) -> None:
    """Run Waybill with PostgreSQL, RabbitMQ, an SMTP inbox and a sandbox payment provider until Ctrl-C.

    A server whose address is in the environment (WAYBILL_DATABASE_URL, WAYBILL_AMQP_URL, WAYBILL_SMTP_URL,
    WAYBILL_PAYMENT_URL) is used as it is; the others are started.
    """
    settings = load_settings()
    try:
        # Here, because an installation for production leaves these packages out.
        from service.dev.children import StartError  # noqa: PLC0415
        from service.dev.stack import Options, run  # noqa: PLC0415
        from service.dev.summary import Narrator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(f"`waybill dev` needs the package {error.name}: install waybill[dev-stack]") from error
    options = Options(
        port=port or settings.port, data_dir=data_dir.resolve(), fresh=fresh, demo=not no_demo, workers=workers
    )
    try:
        code = run(options, settings=settings, narrator=Narrator(Console()))
    except StartError as error:
        Console(stderr=True).print(f"waybill: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        code = 1
    raise typer.Exit(code)
