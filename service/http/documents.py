"""Delivery notes, proformas and invoices as PDF, for whoever has a signed link. No key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from aiohttp import web

from service.documents.content import DocumentKind, NotCaptured
from service.documents.links import PATH, LinkExpired, LinkInvalid, kind_of, verify
from service.documents.render import render
from service.services import SERVICES
from service.settings import Settings
from service.shipping.document_content import document_content


async def get_document(request: web.Request) -> web.Response:
    """Answer with a PDF. Raises 403 for a link that is not ours, 410 for an old one, 404 where there is no document."""
    services = request.app[SERVICES]
    number = request.match_info["shipment_number"]
    kind = _opened(request, services.settings, number)
    structlog.contextvars.bind_contextvars(shipment_number=number, document=kind.slug)
    async with services.connection() as connection:
        content = await document_content(connection, number)
    try:
        pdf = await render(kind, content)
    except NotCaptured:
        raise web.HTTPNotFound(text=f"The shipment has no invoice yet: {number}") from None
    return web.Response(
        body=pdf,
        content_type="application/pdf",
        headers={
            # A number has nothing in it that would need quoting: order numbers are letters, digits, dots and hyphens.
            "Content-Disposition": f'inline; filename="{kind.slug}-{number}.pdf"',
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
            # The link is as good as a key: no page and no index may pass it on.
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
        },
    )


def _opened(request: web.Request, settings: Settings, number: str) -> DocumentKind:
    """Return the kind of the document that the link opens. Raises 403 or 410."""
    # Without a secret there are no links, so none can be ours.
    if not settings.documents_secrets:
        raise _forbidden("no secret is set")
    try:
        kind = kind_of(request.match_info["slug"])
        verify(
            request.query.get("token", ""),
            settings.documents_secrets,
            kind=kind,
            shipment_number=number,
            now=datetime.now(UTC),
            max_age=timedelta(days=settings.documents_link_days),
        )
    except LinkInvalid as error:
        raise _forbidden(str(error)) from None
    except LinkExpired:
        raise web.HTTPGone(text="The link has expired; ask for a new one.") from None
    return kind


def _forbidden(reason: str) -> web.HTTPForbidden:
    structlog.contextvars.bind_contextvars(reason=reason)
    return web.HTTPForbidden(text="The link is not valid.")


def routes() -> list[web.RouteDef]:
    """Return the route to the documents."""
    return [web.get(PATH, get_document)]
