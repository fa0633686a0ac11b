"""The one place that connects to partners: with a deadline, to permitted addresses only, following no redirects."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from consumers.webhooks.answer import Answer, excerpt
from consumers.webhooks.message import Message
from consumers.webhooks.reach import Reach
from schemas.retry_after import parse_retry_after

EXCERPT_TIMEOUT_S: Final = 2.0
_EXCERPT_BYTES: Final = 2000
_LONGEST_ERROR: Final = 300


class AddressRefused(OSError):
    """The host is, at this moment, at an address that webhooks may not reach."""


class Client:
    """Sends webhooks. Every request has a connection of its own, made to an address that was checked just before."""

    def __init__(self, sessions: dict[str, aiohttp.ClientSession], *, timeout_s: float) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s

    async def send(self, url: str, message: Message) -> Answer:
        """Send one webhook and return how it ended; within the time-out, and a moment for the answer's body."""
        clock = asyncio.get_running_loop().time
        began = clock()
        target = URL(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._sessions[target.scheme].post(
                    target,
                    data=message.body.encode(),
                    headers=message.headers(datetime.now(UTC)),
                    allow_redirects=False,
                )
        except (OSError, TimeoutError, ValueError, aiohttp.ClientError) as error:
            return Answer(clock() - began, error=_told(error, self._timeout_s))
        took_s = clock() - began
        try:
            body = await _beginning(response)
        finally:
            response.close()
        return Answer(
            took_s,
            code=response.status,
            excerpt=excerpt(body),
            retry_after_s=parse_retry_after(response.headers.get("retry-after"), now=datetime.now(UTC)),
        )


@asynccontextmanager
async def open_client(reach: Reach, *, resolver: AbstractResolver, timeout_s: float) -> AsyncIterator[Client]:
    """Open a client that reaches what `reach` permits. `timeout_s` bounds a request up to the answer's headers."""
    async with AsyncExitStack() as stack:
        sessions = {}
        certificates = ssl.create_default_context()
        for scheme in ("http", "https"):
            connector = aiohttp.TCPConnector(
                # For names and literal addresses alike, with the very address that is connected to: whatever a name
                # resolved to before, and whoever sent us there.
                socket_factory=_guard(reach, encrypted=scheme == "https"),
                resolver=resolver,
                # A connection kept too long fails a webhook that would have arrived.
                force_close=True,
                limit=0,
                ssl=certificates,
            )
            sessions[scheme] = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=None),
                    # Nothing of an answer is worth a decompression bomb.
                    auto_decompress=False,
                )
            )
        yield Client(sessions, timeout_s=timeout_s)


def _guard(reach: Reach, *, encrypted: bool) -> Callable[[Any], socket.socket]:
    def make_socket(address_info: Any) -> socket.socket:  # noqa: ANN401 - as getaddrinfo gives it
        family, kind, protocol, _, address = address_info
        if not reach.permits(str(address[0]), encrypted=encrypted):
            # The same words for each of a name's addresses, or the library would fold them into a text.
            raise AddressRefused("not public" if encrypted else "not allowed without https")
        return socket.socket(family, kind, protocol)

    return make_socket


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    # A body that trickles or breaks off takes nothing back of what the headers have said.
    body = b""
    with suppress(TimeoutError, OSError, aiohttp.ClientError):
        async with asyncio.timeout(EXCERPT_TIMEOUT_S):
            while len(body) < _EXCERPT_BYTES and (part := await response.content.read(_EXCERPT_BYTES - len(body))):
                body += part
    return body


def _told(error: Exception, timeout_s: float) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            told = "the host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            told = f"the certificate is not valid: {_short(error.certificate_error)}"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressRefused):
            told = f"the host's address is {error.os_error}"
        case aiohttp.ClientConnectorError():
            told = f"no connection: {_short(error.os_error)}"
        case TimeoutError():
            told = f"no answer within {timeout_s:g} s"
        case aiohttp.ServerDisconnectedError():
            told = "the receiver hung up without an answer"
        case aiohttp.ClientOSError():
            told = f"the connection broke: {_short(error)}"
        case _:
            told = f"no usable answer: {type(error).__name__}"
    return told


def _short(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:_LONGEST_ERROR]
