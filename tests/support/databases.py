"""One database per test, cloned from a template that the real migrations have made."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from service.commands.migrate import apply_migrations


class Databases:
    """Creates and drops databases over one connection, whose event loop has a thread of its own."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._run = secrets.token_hex(4)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases", daemon=True)
        self._thread.start()
        self._connection = self._await(asyncpg.connect(admin_url))
        self._template = ""

    def make_template(self) -> None:
        """Create the template and migrate it. Raise `RuntimeError` if a migration fails."""
        template = f"waybill_test_{self._run}_template"
        self._execute(f'CREATE DATABASE "{template}"')
        self._template = template
        if apply_migrations(self.url(template)):
            raise RuntimeError("the migrations fail on the test server; their output is above")

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{database}"))

    @contextmanager
    def fresh(self, *, migrated: bool = True) -> Iterator[str]:
        """Provide the URL of a database of one's own; its sessions are ended with the block."""
        with self._cloned(self._template if migrated else "template0") as url:
            yield url

    @contextmanager
    def copy(self, url: str) -> Iterator[str]:
        """Provide the URL of a copy of a database to which nobody is connected."""
        with self._cloned(urlsplit(url).path.removeprefix("/")) as copied:
            yield copied

    @contextmanager
    def _cloned(self, template: str) -> Iterator[str]:
        name = f"waybill_test_{self._run}_{secrets.token_hex(6)}"
        # Copying files instead of logging blocks takes half the time on a server that need not sync them.
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        try:
            yield self.url(name)
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def close(self) -> None:
        """Drop the template and end the connection and its thread."""
        if self._template:
            self._execute(f'DROP DATABASE "{self._template}" WITH (FORCE)')
        self._await(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _execute(self, statement: str) -> None:
        self._await(self._connection.execute(statement))

    def _await(self, coroutine):
        return asyncio.run_coroutine_threadsafe(_awaited(coroutine), self._loop).result(timeout=60)


async def _awaited(awaitable):
    return await awaitable
