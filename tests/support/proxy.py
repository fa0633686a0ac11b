"""A TCP proxy that can be taken away and brought back at the same address, to cut processes off from a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_BEGINNING = 1024


class Proxy:
    """Forwards connections to a server while it is up; cuts and refuses them while it is down.

    While frozen it keeps connections open and lets nothing pass: a server that hangs, or a cable that is unplugged.
    """

    def __init__(self, host: str, port: int) -> None:
        self._home = self._target = (host, port)
        # Told of all that is asked, before it passes: how the connection began, and what comes now.
        self.overhear: Callable[[bytes, bytes], None] = lambda _beginning, _data: None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._asking, self._answering = asyncio.Event(), asyncio.Event()
        self.thaw()
        self.port = 0

    def freeze(self, *, answers_only: bool = False) -> None:
        self._answering.clear()
        if not answers_only:
            self._asking.clear()

    def thaw(self) -> None:
        self._asking.set()
        self._answering.set()

    def redirect(self, host: str = "", port: int = 0) -> None:
        """Cut all connections, and forward new ones elsewhere; without an address, to the server again."""
        self._target = (host, port) if port else self._home
        self.cut()

    def cut(self) -> None:
        """Cut all connections, and take new ones."""
        for writer in self._writers:
            writer.transport.abort()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self.cut()
        self.thaw()
        await self._server.wait_closed()
        self._server = None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            self._writers.add(there_writer)
            await asyncio.gather(
                _pump(reader, there_writer, self._asking, self._overhear_one()),
                _pump(there_reader, writer, self._answering, lambda _: None),
            )
            self._writers.discard(there_writer)
        self._writers.discard(writer)
        writer.close()

    def _overhear_one(self) -> Callable[[bytes], None]:
        beginning = b""

        def overhear(data: bytes) -> None:
            nonlocal beginning
            beginning = (beginning + data)[:_BEGINNING]
            self.overhear(beginning, data)

        return overhear


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    flowing: asyncio.Event,
    overhear: Callable[[bytes], None],
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            overhear(data)
            await flowing.wait()
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    """Serve a proxy to `host:port` on a free local port."""
    proxy = Proxy(host, port)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
