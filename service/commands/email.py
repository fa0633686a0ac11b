"""`waybill email …`: mails, without sending any."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from consumers.email.content import load_mail
from consumers.email.language import known_languages
from consumers.email.mail import Mail, make_mail
from consumers.email.render import Renderer, TemplateFailure
from consumers.outcome import Rejected
from consumers.settings import WrongSetting
from service.settings import Settings, SettingsError, load_settings
from service.wiring import open_pool

app = typer.Typer(no_args_is_help=True, help="Look at mails, without sending any.")

# Stands in for the event's id before the shipment has left.
NO_EVENT = UUID(int=0)


@app.callback()
def email() -> None:
    """Keep `preview` a command of its own, although it is the only one."""


@app.command()
def preview(
    shipment: Annotated[str, typer.Argument(help="number of the shipment, such as 100001-1")],
    *,
    locale: Annotated[str, typer.Option(help=f"instead of the order's; there are {', '.join(known_languages())}")] = "",
    html: Annotated[bool, typer.Option("--html", help="the HTML part")] = False,
    text: Annotated[bool, typer.Option("--text", help="the text part; this is the default")] = False,
    eml: Annotated[bool, typer.Option("--eml", help="the whole message, as it goes to the mail server")] = False,
    output: Annotated[Path | None, typer.Option(help="write to this file instead of the terminal")] = None,
) -> None:
    """Render the mail about SHIPMENT from the database."""
    if html + text + eml > 1:
        raise typer.BadParameter("choose one of --html, --text and --eml")
    settings = load_settings()
    settings.require("database_url")
    mail = asyncio.run(_make(settings, shipment, locale))
    content = _part(mail, html=html, eml=eml)
    if output:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


async def _make(settings: Settings, shipment_number: str, locale: str) -> Mail:
    async with (
        open_pool(settings, name="email preview", size=1, standby_too=True) as pool,
        pool.acquire() as connection,
    ):
        shipment = await load_mail(connection, shipment_number)
    if shipment is None:
        raise typer.BadParameter(f"there is no shipment {shipment_number!r}", param_hint="SHIPMENT")
    try:
        return make_mail(
            shipment,
            Renderer(settings.mail_templates_dir),
            event_id=shipment.event_id or NO_EVENT,
            request_id="",
            default_sender=settings.mail_sender,
            locale=locale or None,
        )
    except WrongSetting as wrong:
        raise SettingsError(str(wrong)) from wrong
    except (Rejected, TemplateFailure) as failure:
        sys.stderr.write(f"waybill: {failure}\n")
        raise typer.Exit(1) from failure


def _part(mail: Mail, *, html: bool, eml: bool) -> bytes:
    if eml:
        return mail.content
    return (mail.rendered.html if html else mail.rendered.text).encode()
