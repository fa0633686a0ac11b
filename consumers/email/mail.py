"""One mail about one shipment, from its content to its bytes; the worker and the preview make it the same way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from consumers.email.addresses import InvalidAddress, parse_address, parse_sender
from consumers.email.content import ShipmentMail, clean
from consumers.email.language import Language, language
from consumers.email.message import Envelope, compose, mail_id
from consumers.email.render import Rendered, Renderer
from consumers.outcome import Rejected


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that can be sent or shown."""

    envelope: Envelope
    rendered: Rendered
    language: Language
    message_id: str
    content: bytes


def make_mail(
    shipment: ShipmentMail,
    renderer: Renderer,
    *,
    event_id: UUID,
    request_id: str,
    default_sender: str,
    locale: str | None = None,
) -> Mail:
    """Render and compose. `locale` overrides the order's. Raises `Rejected` for addresses, and `TemplateFailure`."""
    envelope = _envelope(shipment, default_sender)
    tongue = language(locale or shipment.locale)
    rendered = renderer.render(shipment, tongue)
    content = compose(
        envelope,
        rendered,
        event_id=event_id,
        request_id=request_id,
        language_tag=tongue.tag,
        now=datetime.now(UTC),
    )
    return Mail(envelope, rendered, tongue, mail_id(event_id, envelope.sender), content)


def _envelope(shipment: ShipmentMail, default_sender: str) -> Envelope:
    try:
        name, sender = parse_sender(shipment.sender or default_sender)
    except InvalidAddress as error:
        raise Rejected(f"the sender of store {shipment.store_code} is not a mail address: {error}") from None
    try:
        recipient = parse_address(shipment.recipient)
    except InvalidAddress as error:
        raise Rejected(f"the customer's mail address is not valid: {error}") from None
    return Envelope(sender, clean(name) or shipment.store, recipient, shipment.customer)
