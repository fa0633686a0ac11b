"""Bytes on a connection, as no client library would send them, and what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.api import COMPLETE, Api


@dataclass(frozen=True)
class Reply:
    """One answer. `headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(url: str, sent: bytes, *, timeout_s: float = 30, hang_up: bool = False) -> list[Reply]:
    """Send bytes and read every answer until the server closes the connection, which it must within `timeout_s`.

    `hang_up`: say that nothing more will come.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(sent)
        if hang_up:
            writer.write_eof()
        async with asyncio.timeout(timeout_s):
            received = await reader.read(-1)
    except ConnectionError:
        received = b""
    finally:
        writer.close()
    return list(_replies(received))


def request(
    api: Api, body: bytes = b"", *headers: str, method: str = "POST", path: str = COMPLETE, length: bool = True
) -> bytes:
    """Return a request of the key's owner that is the last one on its connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: api.test", "Connection: close", f"API-Authorization: {api.key.secret}"]
    if body and not any(header.lower().startswith("content-type:") for header in headers):
        lines.append("Content-Type: application/json")
    lines += headers
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(body: bytes, size: int = 4096) -> bytes:
    """Return `body` in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _replies(received: bytes) -> Any:
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        chunks = headers.get("transfer-encoding") == "chunked"
        length = rest.index(b"0\r\n\r\n") + 5 if chunks else int(headers.get("content-length", "0"))
        yield Reply(int(status.split(" ")[1]), headers, rest[:length])
        received = rest[length:]
