"""The development inbox over HTTP: JSON for programs, pages for people. Mails are untrusted content."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from email.message import EmailMessage
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader

from service.dev.inbox import Inbox, Summary

_INBOX: Final = web.AppKey("inbox", Inbox)
_PAGES: Final = Environment(loader=PackageLoader("service.dev"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_LISTED: Final = 500

# No script runs anywhere, and a mail can load nothing, so that its content cannot tell anybody that it was read.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-src 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@asynccontextmanager
async def serve_pages(inbox: Inbox, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve the inbox as long as the block runs."""
    app = web.Application()
    app[_INBOX] = inbox
    app.on_response_prepare.append(_add_headers)
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/healthz", _alive),
            web.get("/messages", _list),
            web.get("/messages/{id}", _show),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


async def _alive(_request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _list(request: web.Request) -> web.Response:
    return _json([asdict(summary) for summary in request.app[_INBOX].summaries()])


async def _page(request: web.Request) -> web.Response:
    summaries = request.app[_INBOX].summaries()
    return _html("inbox.html", mails=summaries[:_LISTED], total=len(summaries))


async def _show(request: web.Request) -> web.Response:
    found = request.app[_INBOX].find(request.match_info["id"])
    if found is None:
        return _json({"error": "no such mail"}, status=HTTPStatus.NOT_FOUND)
    mail = describe(*found)
    if "text/html" in request.headers.get("Accept", ""):
        return _html("mail.html", mail=mail)
    return _json(mail)


def describe(summary: Summary, message: EmailMessage) -> dict[str, Any]:
    """Return everything about a mail: its summary, sender, text, HTML and headers; what it lacks is None."""
    headers: dict[str, str] = {}
    for name, value in message.items():
        headers[name] = f"{headers[name]}\n{value}" if name in headers else str(value)
    return {
        **asdict(summary),
        "from": str(message.get("From", "")),
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "headers": headers,
    }


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    try:
        content = str(part.get_content())
    except (LookupError, ValueError):  # a charset that Python does not know, or that the content does not keep to
        payload = part.get_payload(decode=True)
        content = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
    return content.replace("\r\n", "\n")


def _json(value: object, *, status: int = HTTPStatus.OK) -> web.Response:
    return web.json_response(value, status=status, dumps=partial(json.dumps, ensure_ascii=False))


def _html(template: str, **values: object) -> web.Response:
    return web.Response(text=_PAGES.get_template(template).render(values), content_type="text/html")
