"""Signed links to a shipment's documents, as the Order API hands them out."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiohttp import web

from service.documents.content import DocumentKind
from service.documents.links import document_url
from service.services import SERVICES

_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def document_links(request: web.Request, shipment_number: str, *, paid: bool) -> dict[str, str]:
    """Return the links to the documents that exist, by the names that the contract gives them.

    There are none without a secret to sign them with, and no invoice before the shipment is `paid`. Never fails: what
    a caller has asked for is done when it is told of the links.
    """
    settings = request.app[SERVICES].settings
    base_url = settings.public_url or _seen_by(request)
    if not settings.documents_secrets or base_url is None:
        return {}
    return {
        kind.value: document_url(
            base_url,
            settings.documents_secrets,
            kind=kind,
            shipment_number=shipment_number,
            now=datetime.now(UTC),
        )
        for kind in DocumentKind
        if paid or kind is not DocumentKind.INVOICE
    }


def _seen_by(request: web.Request) -> str | None:
    """Return our address as the caller wrote it, None where that is no address."""
    return f"{request.scheme}://{request.host}" if _HOST.fullmatch(request.host) else None
