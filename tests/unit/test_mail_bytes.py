"""Mails byte for byte, as `tests/support/sent_mails` holds them: what makes mailing faster changes no mail.

A change that is to be seen in mails writes its own: run these with the environment variable WRITE_MAILS=1, and look at
the difference.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from consumers.email.addresses import parse_address
from consumers.email.content import Item, Parcel, PostalAddress, ShipmentMail
from consumers.email.language import language
from consumers.email.message import Envelope, compose
from consumers.email.render import Renderer
from tests.support.mails import EVENT_ID, shipment_mail

SENT = Path(__file__).parents[1] / "support" / "sent_mails"
NOW: Final = datetime(2026, 11, 21, 18, 40, 5, tzinfo=UTC)
MAILS: Final = {
    "whole": shipment_mail(),
    "partial": shipment_mail(
        locale="fr-CA",
        store='Boutique "Chez nous" & fils',
        customer="Jean-François Müller-Lefèvre, Directeur général de la Compagnie générale d'électricité",
        address=PostalAddress(("Jean-François Müller", "Rue de l'Été 1 <3e>", "Montréal QC H2X 1Y4"), "CA"),
        items=(Item("Chemise", "A-1", 1), Item("<script>", "B&2", 12_345)),
        later=(Item("Pantalon", "C-3", 0), Item("Cravate", "D-4", 2)),
        parcels=(
            Parcel("UPS", "Express", "1Z1", "https://ups.example/1Z1?a=1&b=2"),
            Parcel(None, None, "JD2", None),
        ),
        packages=3,
        return_number="RR123456789CA",
    ),
    "plain": shipment_mail(locale="xx", customer="", store="Shop", parcels=(), packages=None),
}


def made(mail: ShipmentMail, renderer: Renderer) -> bytes:
    tongue = language(mail.locale)
    envelope = Envelope(parse_address("shop@example.com"), mail.store, parse_address(mail.recipient), mail.customer)
    return compose(
        envelope,
        renderer.render(mail, tongue),
        event_id=EVENT_ID,
        request_id="req-1",
        language_tag=tongue.tag,
        now=NOW,
    )


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_is_the_same_to_the_byte(name: str) -> None:
    renderer = Renderer()
    # Not the first mail only: what is kept from one to the next must not show in the next.
    content, *more = [made(MAILS[each], renderer) for each in (name, *MAILS, name)]
    assert content == more[-1]
    # Line ends as files have them; that each is CRLF on the wire is shown by test_mail_message.py.
    file, lines = SENT / f"{name}.eml", content.replace(b"\r\n", b"\n")
    if os.environ.get("WRITE_MAILS"):
        file.write_bytes(lines)
    assert lines == file.read_bytes()
