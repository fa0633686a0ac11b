"""Stands before the payment provider, lets money move, and answers whatever a fault wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import aiohttp

_TELLING = ("content-type", "idempotency-key")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that came, and what the provider said to it."""

    method: str
    path: str
    status: int
    body: bytes


# Writes an answer of its own, or nothing.
Manner: TypeAlias = Callable[[Exchange, asyncio.StreamWriter], Awaitable[None]]


def http(status: int, body: bytes, *headers: str) -> bytes:
    """Return an answer as it goes over the wire."""
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def faithfully(exchange: Exchange, writer: asyncio.StreamWriter) -> None:
    """Answer what the provider has answered."""
    writer.write(http(exchange.status, exchange.body, "Content-Type: application/json"))


@dataclass
class Front:
    """Passes every request on to the provider at `url` and then answers in its `manner`."""

    url: str
    session: aiohttp.ClientSession
    manner: Manner = faithfully
    port: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    exchange = await self._pass_on(reader)
                    self.exchanges.append(exchange)
                    await self.manner(exchange, writer)
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        given = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.splitlines()[1:])
            if name
        }
        body = await reader.readexactly(int(given.get("content-length", "0")))
        headers = {name: given[name] for name in _TELLING if name in given}
        async with self.session.request(method, self.url + path, data=body or None, headers=headers) as answer:
            return Exchange(method, path, answer.status, await answer.read())


@asynccontextmanager
async def open_front(url: str, session: aiohttp.ClientSession) -> AsyncIterator[Front]:
    """Serve on a free local port."""
    front = Front(url, session)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        front.cut()
        await server.wait_closed()
