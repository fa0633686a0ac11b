"""Signed links to a shipment's documents, as the Order API hands them out."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from service.documents.content import DocumentKind
from service.documents.links import document_url
from service.services import SERVICES


def document_links(request: web.Request, shipment_number: str, *, paid: bool) -> dict[str, str]:
    """Return the links to the documents that exist, by the names that the contract gives them.

    There are none without a secret to sign them with, and no invoice before the shipment is `paid`.
    """
    settings = request.app[SERVICES].settings
    if not settings.documents_secrets:
        return {}
    return {
        kind.value: document_url(
            settings.public_url or str(request.url.origin()),
            settings.documents_secrets,
            kind=kind,
            shipment_number=shipment_number,
            now=datetime.now(UTC),
        )
        for kind in DocumentKind
        if paid or kind is not DocumentKind.INVOICE
    }
