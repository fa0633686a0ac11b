"""Requests that never reach the application: what is no HTTP, or exceeds the server's limits of lines and headers."""

from __future__ import annotations

import secrets

import structlog
from aiohttp import web, web_server
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from service.http.context import REQUEST_ID_HEADER, SERVER

log = structlog.get_logger()

UNREADABLE = (
    "Not a valid HTTP request, or one with a line or header of more than 8190 bytes or with more than 128 headers."
)


class _Connection(RequestHandler):
    """A connection whose last words are ours.

    The library's quote what was sent, which may be a credential, in the log as an error; and they name its version.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer and log a request that could not be read; everything else as the library does."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = secrets.token_hex(16)
        structlog.contextvars.clear_contextvars()
        log.info("request_unreadable", process="api", request_id=request_id, status=status, reason=type(exc).__name__)
        response = web.json_response(
            {"error": UNREADABLE}, status=status, headers={REQUEST_ID_HEADER: request_id, "Server": SERVER}
        )
        response.force_close()
        return response


def answer_in_our_words() -> None:
    """Make every server of this process use our connections. The library offers no other place to say so."""
    web_server.RequestHandler = _Connection  # type: ignore[attr-defined]
