"""Finding the addresses of a receiver's host, whatever its name server does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class Lookups(AbstractResolver):
    """Asks the system, each time on a thread of its own.

    A name server that hangs holds up nobody else's lookup, as it would on the threads that all of a process share, nor
    the end of the process, which waits for those. The HTTP library asks for one name at a time and keeps the answer for
    some seconds, so that there are never many.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def tell(settle: Callable[[Any], None], value: object) -> None:
            # A closed loop has nobody who waits, nor has a cancelled future.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if found.done() else settle(value))

        def look_up() -> None:
            try:
                tell(found.set_result, _addresses(host, port, family))
            except OSError as error:
                tell(found.set_exception, error)

        threading.Thread(target=look_up, name="webhook lookup", daemon=True).start()
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=family, proto=protocol, flags=0)
            for family, _, protocol, _, address in await found
        ]

    async def close(self) -> None:
        """Wait for nobody."""


def _addresses(host: str, port: int, family: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except UnicodeError as error:
        raise OSError("not a host name") from error
