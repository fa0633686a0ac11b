"""Handing mails to the SMTP server, over connections that are kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from consumers.email.message import Envelope
from consumers.email.replies import meaning
from consumers.email.server import SmtpServer
from consumers.outcome import Rejected

QUIT_TIMEOUT_S: Final = 2.0

_TROUBLE: Final = (SMTPException, OSError, TimeoutError)
_SERVICE_CLOSING: Final = 421


class Mailer:
    """Sends mails to one server. Keeps up to `most_idle` connections open between mails."""

    def __init__(self, server: SmtpServer, *, timeout_s: float, most_idle: int, local_name: str | None = None) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._most_idle = most_idle
        self._local_name = local_name
        self._idle: list[SMTP] = []

    async def send(self, envelope: Envelope, message: bytes) -> None:
        """Return once the server has taken responsibility for the mail.

        Raises `Rejected` when it refuses this mail for good, `TryLater` for everything else. If this is cancelled or
        the connection breaks after the last byte, nobody knows whether the server has the mail.
        """
        try:
            client = await self._begin(envelope)
        except _TROUBLE as error:
            raise meaning(error, envelope) from error
        try:
            await client.rcpt(str(envelope.recipient), encoding="utf-8")
            await client.data(message)
        except SMTPResponseException as error:
            await self._reset(client)
            raise meaning(error, envelope) from error
        except _TROUBLE as error:
            client.close()
            raise meaning(error, envelope) from error
        except BaseException:
            client.close()  # in the middle of a dialogue, so of no use to anybody else
            raise
        self._keep(client)

    async def close(self) -> None:
        """Say goodbye on all idle connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(client) for client in idle))

    async def _begin(self, envelope: Envelope) -> SMTP:
        """Return a connection on which the server has accepted the sender.

        That answer is also the proof that a kept connection still works. Nothing of the mail has been said before it,
        so a connection found stale is replaced, at no cost to the mail.
        """
        while self._idle:
            client = self._idle.pop()
            try:
                await self._say_sender(client, envelope)
            except (SMTPServerDisconnected, SMTPTimeoutError):
                self._drop_idle()
            except SMTPSenderRefused as refusal:
                if refusal.code != _SERVICE_CLOSING:
                    raise
                self._drop_idle()
            else:
                return client
        client = await self._connect()
        await self._say_sender(client, envelope)
        return client

    async def _connect(self) -> SMTP:
        client = SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.username,
            password=self._server.password,
            use_tls=self._server.tls,
            start_tls=self._server.starttls,
            local_hostname=self._local_name,
            timeout=self._timeout_s,
        )
        await client.connect()
        return client

    async def _say_sender(self, client: SMTP, envelope: Envelope) -> None:
        """Begin a mail; whatever goes wrong, the connection is kept or closed."""
        try:
            options = await _smtputf8(client) if envelope.needs_smtputf8 else []
            await client.mail(str(envelope.sender), options=options, encoding="utf-8")
        except SMTPResponseException:
            await self._reset(client)
            raise
        except Rejected:
            self._keep(client)
            raise
        except BaseException:
            client.close()
            raise

    async def _reset(self, client: SMTP) -> None:
        try:
            await client.rset()
        except _TROUBLE:
            client.close()
        else:
            self._keep(client)

    def _keep(self, client: SMTP) -> None:
        if client.is_connected and len(self._idle) < self._most_idle:
            self._idle.append(client)
        else:
            client.close()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


@asynccontextmanager
async def open_mailer(server: SmtpServer, *, timeout_s: float, most_idle: int) -> AsyncIterator[Mailer]:
    """Open a mailer. It connects when there is a first mail."""
    # Once, because a resolver that hangs would hold up every connection.
    local_name = await asyncio.to_thread(socket.getfqdn)
    mailer = Mailer(server, timeout_s=timeout_s, most_idle=most_idle, local_name=local_name)
    try:
        yield mailer
    finally:
        await mailer.close()


async def _smtputf8(client: SMTP) -> list[str]:
    if client.is_ehlo_or_helo_needed:
        await client.ehlo()
    if not client.supports_extension("smtputf8"):
        raise Rejected("the address needs SMTPUTF8, which the mail server does not support")
    return ["SMTPUTF8", "BODY=8BITMIME"]


async def _quit(client: SMTP) -> None:
    with suppress(*_TROUBLE):
        await client.quit(timeout=QUIT_TIMEOUT_S)
    client.close()
