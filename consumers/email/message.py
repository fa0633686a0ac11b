"""The mail as it goes over the wire: headers and a multipart body of ASCII bytes, for any names.

Written here rather than by the standard library's EmailMessage: that one folds long non-ASCII names apart, with
SMTPUTF8 even into further addresses, and takes most of a mail's time.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.charset import Charset
from email.header import Header
from email.utils import format_datetime
from typing import Final
from uuid import UUID

from consumers.email.addresses import Address
from consumers.email.render import Rendered

# What may stand in a quoted string or in a subject as it is. Longer or other text becomes encoded words.
_PLAIN = re.compile(r"[\x20-\x7e]{0,60}")
_ENCODED_WORD: Final = "=?"
_LINE: Final = "\r\n"
_LONGEST_LINE: Final = 75
# The name of a header shortens its first line; this is more than any of ours takes.
_LONGEST_HEADER_NAME: Final = 16
_UTF_8: Final = Charset("utf-8")
# Never within a part: quoted-printable follows each = by two hexadecimal digits or the end of the line.
_BOUNDARY: Final = "=_waybill_part"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends what to whom. `store` and `customer` are display names and may be empty."""

    sender: Address
    store: str
    recipient: Address
    customer: str

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only servers with the SMTPUTF8 extension can take it."""
        return self.sender.needs_smtputf8 or self.recipient.needs_smtputf8


def mail_id(event_id: UUID, sender: Address) -> str:
    """Return the Message-ID, the same however often the event is handled, so that a duplicate is recognisable."""
    return f"<{event_id}@{sender.domain}>"


def compose(
    envelope: Envelope, content: Rendered, *, event_id: UUID, request_id: str, language_tag: str, now: datetime
) -> bytes:
    """Return the whole message, CRLF between lines."""
    headers = {
        "Date": format_datetime(now),
        "From": _mailbox(envelope.store, envelope.sender),
        "To": _mailbox(envelope.customer, envelope.recipient),
        "Subject": _words(content.subject),
        "Message-ID": mail_id(event_id, envelope.sender),
        "Auto-Submitted": "auto-generated",
        "Content-Language": language_tag,
        "X-Waybill-Event-Id": str(event_id),
    }
    if request_id:
        headers["X-Waybill-Request-Id"] = request_id
    headers["MIME-Version"] = "1.0"
    headers["Content-Type"] = f'multipart/alternative; boundary="{_BOUNDARY}"'
    lines = [*(f"{name}: {value}" for name, value in headers.items()), ""]
    for kind, text in (("plain", content.text), ("html", content.html)):
        lines += [
            f"--{_BOUNDARY}",
            f'Content-Type: text/{kind}; charset="utf-8"',
            "Content-Transfer-Encoding: quoted-printable",
            "",
            _quoted_printable(text),
        ]
    lines += [f"--{_BOUNDARY}--", ""]
    # Only an address that needs SMTPUTF8 makes this more than ASCII.
    return _LINE.join(lines).encode()


def _quoted_printable(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", _LINE)
    return b2a_qp(lines.encode(), istext=True).decode("ascii")


def _mailbox(name: str, address: Address) -> str:
    if not name:
        return str(address)
    if _PLAIN.fullmatch(name) and _ENCODED_WORD not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"{_LINE} <{address}>'
    return f"{_encoded(name)}{_LINE} <{address}>"


def _words(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and _ENCODED_WORD not in text else _encoded(text)


def _encoded(text: str) -> str:
    word = _UTF_8.header_encode(text)
    if len(word) <= _LONGEST_LINE - _LONGEST_HEADER_NAME:
        # The same as Header makes, which takes ten times as long to find out where it could be split.
        return word
    header = Header(text, _UTF_8, _LONGEST_LINE, header_name="x" * (_LONGEST_HEADER_NAME - len(": ")))
    return header.encode(linesep=_LINE)
