"""Content of mails for tests, every field open to be overridden, and reading of what was composed."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import parseaddr
from html.parser import HTMLParser
from typing import Any, cast
from uuid import UUID

from consumers.email.content import Item, Parcel, PostalAddress, ShipmentMail

EVENT_ID = UUID("019aa6a5-2f0c-7d7e-9c39-3d6a2f3f7a10")


def shipment_mail(**fields: Any) -> ShipmentMail:
    """Return the content of a mail about one whole order in one parcel."""
    usual: dict[str, Any] = {
        "shipment_id": 1,
        "event_id": EVENT_ID,
        "shipment": "100001-1",
        "order": "100001",
        "shipped": True,
        "shipped_at": datetime(2026, 11, 21, 18, 40, tzinfo=UTC),
        "locale": "sv-SE",
        "store_code": "se-web",
        "store": "Butiken",
        "sender": None,
        "customer": "Åsa Öberg",
        "recipient": "asa@example.com",
        "address": PostalAddress(("Åsa Öberg", "Storgatan 1", "111 22 Stockholm"), "SE"),
        "items": (Item("Shirt", "A-1", 2),),
        "later": (),
        "parcels": (Parcel("UPS", "Express", "1Z999AA10123456784", "https://ups.example/1Z"),),
        "packages": 1,
        "return_number": None,
    }
    return ShipmentMail(**usual | fields)


def parse(content: bytes) -> EmailMessage:
    """Read a mail as a mail client does."""
    return cast("EmailMessage", email.message_from_bytes(content, policy=email.policy.default))


def header(content: bytes, name: str) -> str:
    """Return a header, decoded as RFC 2047 says."""
    message: Message = email.message_from_bytes(content)
    return str(make_header(decode_header(message[name].replace("\r\n", ""))))


def mailbox(content: bytes, name: str) -> tuple[str, str]:
    """Return the display name, decoded, and the address of an address header."""
    raw: str = email.message_from_bytes(content)[name]
    display, address = parseaddr(raw.replace("\r\n", ""))
    return str(make_header(decode_header(display))), address


class Page(HTMLParser):
    """What a browser makes of an HTML mail: its elements, links and visible words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self._words: list[str] = []
        self._in_style = False
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self._words.append(data)
