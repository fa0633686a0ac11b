"""An answer that is sent while it comes about: one result after the other, as JSON or as JSON lines."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from schemas.shipment_completion import RowResult
from service.http.bodies import JSON_LINES
from service.http.context import ORIGIN, REQUEST_ID_HEADER

log = structlog.get_logger()

# A caller that takes nothing for this long has left.
WRITE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Form:
    """What stands around and between results."""

    content_type: str
    begin: bytes = b""
    between: bytes = b""
    after_each: bytes = b""
    end: bytes = b""


JSON = Form("application/json", begin=b'{"results": [', between=b",\n", end=b"]}")
LINES = Form(JSON_LINES, after_each=b"\n")


class BulkAnswer:
    """The answer to one bulk request."""

    def __init__(self, request: web.Request, form: Form) -> None:
        # Headers cannot be added once the answer has begun.
        headers = {REQUEST_ID_HEADER: request[ORIGIN].request_id}
        self.response = web.StreamResponse(headers=headers)
        self.response.content_type, self.response.charset = form.content_type, "utf-8"
        self.statuses: Counter[int] = Counter()
        self._request = request
        self._form = form
        # Bounded by the request's rows: who reads slowly keeps no row from being done. None is the end.
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._left = False

    @property
    def wanted(self) -> bool:
        """Whether anybody is still there to be told."""
        return not self._left and self._request.transport is not None

    def add(self, results: Iterable[RowResult]) -> None:
        """Send the results as soon as the caller takes them."""
        pieces = []
        for result in results:
            if self.statuses:
                pieces.append(self._form.between)
            self.statuses[result.status] += 1
            pieces += [result.model_dump_json(exclude_none=True).encode(), self._form.after_each]
        if pieces:
            self._pieces.put_nowait(b"".join(pieces))

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send what is added while the block runs, and then the end. The block runs on when the caller has left."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send())
                yield
                self._pieces.put_nowait(self._form.end)
                self._pieces.put_nowait(None)
        except ExceptionGroup:
            # Half an answer is out. Only its sudden end can tell.
            log.exception("request_failed")
            self._hang_up()

    async def _send(self) -> None:
        try:
            # With the headers, so that the caller knows at once that the rows are taken.
            await self.response.prepare(self._request)
            await self._write(self._form.begin)
            while (piece := await self._pieces.get()) is not None:
                await self._write(piece)
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self.response.write_eof()
        except (ConnectionError, TimeoutError) as error:
            log.info("caller_left", cause=repr(error))
            self._hang_up()

    async def _write(self, piece: bytes) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self.response.write(piece)

    def _hang_up(self) -> None:
        self._left = True
        if self._request.transport is not None:
            self._request.transport.abort()
