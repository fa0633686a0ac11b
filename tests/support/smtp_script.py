"""An SMTP server that answers exactly as a test tells it to, down to hanging up in the middle of a mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG_UP = "hang up"
SAY_NOTHING = "say nothing"

_USUAL = {
    "CONNECT": "220 script.test ready",
    "EHLO": "250 script.test",
    "DATA": "354 go on",
    "MESSAGE": "250 2.0.0 taken",
    "QUIT": "221 bye",
}


@dataclass
class Script:
    """`answer(verb, connection)` gives the reply, HANG_UP or SAY_NOTHING; None stands for the usual reply.

    Verbs are SMTP's, and CONNECT for the greeting and MESSAGE for the end of the data. Connections count from 1.
    """

    answer: Callable[[str, int], str | None] = lambda _verb, _connection: None
    port: int = 0
    connections: int = 0
    # "<connection> <command line>", in the order of arrival
    heard: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def said(self, verb: str) -> int:
        """Return how often the client has said `verb`."""
        return sum(line.split()[1].upper() == verb for line in self.heard)

    def cut(self) -> None:
        """Close every connection from this side, as a server does with those that are idle too long."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._converse(reader, writer, self.connections)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        verb = "CONNECT"
        while True:
            reply = self.answer(verb, connection) or _USUAL.get(verb, "250 ok")
            if reply == HANG_UP:
                return
            if reply != SAY_NOTHING:
                writer.write(f"{reply}\r\n".encode())
                await writer.drain()
            if verb == "DATA" and reply.startswith("354"):
                content = await reader.readuntil(b"\r\n.\r\n")
                verb = "MESSAGE"
                if (self.answer(verb, connection) or "250").startswith("250"):
                    self.mails.append(content)
                continue
            line = await reader.readline()
            if not line:
                return
            self.heard.append(f"{connection} {line.decode().strip()}")
            verb = line.split()[0].decode().upper()


@asynccontextmanager
async def open_script() -> AsyncIterator[Script]:
    """Serve a script on a free local port."""
    script = Script()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        script.cut()
        await server.wait_closed()
