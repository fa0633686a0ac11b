"""A programmable SMTP server that keeps what it accepts."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Received:
    """One accepted mail."""

    sender: str
    recipients: list[str]
    message: email.message.EmailMessage


class SmtpSink:
    """Accepts every mail unless a reply says otherwise, such as "451 4.3.0 later"; None accepts."""

    def __init__(self, *, keep_bodies: bool = True) -> None:
        self._keep_bodies = keep_bodies
        self.messages: list[Received] = []
        self.url = ""
        self.reply_to_rcpt: Callable[[str], str | None] | None = None
        self.reply_to_data: Callable[[Envelope], str | None] | None = None
        self._arrived = asyncio.Condition()

    async def wait_for(self, number: int, timeout: float = 60) -> list[Received]:  # noqa: ASYNC109 - a test's patience
        """Return all mails once at least `number` have been accepted; fail saying how many there are."""
        try:
            async with asyncio.timeout(timeout), self._arrived:
                await self._arrived.wait_for(lambda: len(self.messages) >= number)
        except TimeoutError:
            raise AssertionError(f"{len(self.messages)} of {number} mails after {timeout} s") from None
        return self.messages

    async def handle_RCPT(  # noqa: N802 - the server looks it up by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self.reply_to_rcpt(address) if self.reply_to_rcpt else None
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        refusal = self.reply_to_data(envelope) if self.reply_to_data else None
        if refusal:
            return refusal
        content = envelope.original_content or b""
        if not self._keep_bodies:
            content = content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        message = email.message_from_bytes(content, policy=email.policy.default)
        async with self._arrived:
            self.messages.append(Received(envelope.mail_from or "", list(envelope.rcpt_tos), message))
            self._arrived.notify_all()
        return "250 2.0.0 OK"


@asynccontextmanager
async def open_smtp_sink(*, keep_bodies: bool = True) -> AsyncIterator[SmtpSink]:
    """Serve a sink on the running loop; connections still open at the end are cut.

    Without `keep_bodies` only headers are kept, for many mails.
    """
    sink = SmtpSink(keep_bodies=keep_bodies)
    sessions: list[_Connection] = []

    def accept() -> _Connection:
        sessions.append(_Connection(sink))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    sink.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield sink
    finally:
        server.close()
        for session in sessions:
            session.cut()
        await server.wait_closed()
        await asyncio.gather(*(session.ended() for session in sessions))


class _Connection(SMTP):
    def __init__(self, sink: SmtpSink) -> None:
        super().__init__(sink, hostname="sink.test", enable_SMTPUTF8=True, loop=asyncio.get_running_loop())

    def cut(self) -> None:
        if self.transport:
            self.transport.close()
        if self._handler_coroutine:
            self._handler_coroutine.cancel()

    async def ended(self) -> None:
        if self._handler_coroutine:
            await asyncio.gather(self._handler_coroutine, return_exceptions=True)
