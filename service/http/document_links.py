"""Signed links to a shipment's documents, as the Order API hands them out."""

from __future__ import annotations

from aiohttp import web


def document_links(_request: web.Request, _shipment_number: str, *, paid: bool) -> dict[str, str]:
    """Return the links to the documents that exist, by the names that the contract gives them."""
    return {}
