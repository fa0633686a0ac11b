"""Which mail server `WAYBILL_SMTP_URL` means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from consumers.settings import WrongSetting

_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server. With `tls` the connection begins encrypted, with `starttls` it must become so."""

    host: str
    port: int
    tls: bool = False
    starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://`, `smtp+starttls://` or `smtps://` with optional `user:password@`, percent-encoded, and port.

    Raises `WrongSetting`, which quotes nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WrongSetting("WAYBILL_SMTP_URL: not a URL") from None
    if parts.scheme not in _PORTS:
        raise WrongSetting(f"WAYBILL_SMTP_URL: must begin with one of {', '.join(f'{each}://' for each in _PORTS)}")
    if not parts.hostname:
        raise WrongSetting("WAYBILL_SMTP_URL: names no host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise WrongSetting("WAYBILL_SMTP_URL: has something after the port; encode / ? # of a password as %2F %3F %23")
    return SmtpServer(
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp+starttls",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
