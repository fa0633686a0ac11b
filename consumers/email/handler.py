"""Mails the customer that a shipment has left, once per event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sql
from consumers.delivery import Delivery
from consumers.email.addresses import InvalidAddress, parse_sender
from consumers.email.content import load_mail
from consumers.email.mail import make_mail
from consumers.email.mailer import Mailer, open_mailer
from consumers.email.render import Renderer, TemplateFailure
from consumers.email.server import parse_smtp_url
from consumers.inbox import Connection, Handler
from consumers.outcome import Done, Handled, Rejected, Skipped, TryLater
from consumers.settings import ConsumerSettings, WrongSetting
from schemas.events import EventType

_TYPE = EventType.SHIPMENT_SHIPPED.contract_name


@asynccontextmanager
async def open_handler(settings: ConsumerSettings) -> AsyncIterator[Handler]:
    """Open what mailing needs, and check the settings it depends on. Raises `WrongSetting`."""
    server = parse_smtp_url(settings.smtp_url)
    try:
        parse_sender(settings.mail_sender)
    except InvalidAddress as error:
        raise WrongSetting(f"WAYBILL_MAIL_SENDER: not a mail address: {error}") from None
    renderer = Renderer(settings.mail_templates_dir)
    async with open_mailer(server, timeout_s=settings.smtp_timeout_s, most_idle=settings.worker_concurrency) as mailer:
        yield EmailHandler(renderer, mailer, default_sender=settings.mail_sender)


@dataclass(frozen=True, slots=True)
class EmailHandler:
    """Handles `order-shipment-shipped`."""

    renderer: Renderer
    mailer: Mailer
    default_sender: str

    async def __call__(self, connection: Connection, delivery: Delivery) -> Done:
        """Mail the customer, if the event says that the customer is to be notified.

        The commit comes after the server's acceptance. A crash between the two sends the same Message-ID again
        (ADR 0004).
        """
        event = delivery.event
        if event.event_type.name != _TYPE:
            raise Rejected(f"expected {_TYPE}")
        if not event.data.notify_customer:
            return Skipped("notifyCustomer is false")
        shipment = await load_mail(connection, event.data.shipment_number)
        if shipment is None or not shipment.shipped:
            raise Rejected("there is no such shipment, or it is not SHIPPED")
        if shipment.event_id not in {None, delivery.event_id}:
            # From before the database was restored from a backup, after which the shipment was completed anew.
            raise Rejected("the history holds another event of this shipment's departure")
        try:
            mail = make_mail(
                shipment,
                self.renderer,
                event_id=delivery.event_id,
                request_id=delivery.request_id,
                default_sender=self.default_sender,
            )
        except TemplateFailure as failure:
            raise TryLater(str(failure)) from failure
        # The row first: what the database would refuse is refused before anybody is mailed.
        await sql.queries("email").record_mail(
            connection,
            event_id=delivery.event_id,
            shipment_id=shipment.shipment_id,
            message_id=mail.message_id,
            recipient=str(mail.envelope.recipient),
            locale=mail.language.tag,
            subject=mail.rendered.subject,
        )
        await self.mailer.send(mail.envelope, mail.content)
        return Handled()
