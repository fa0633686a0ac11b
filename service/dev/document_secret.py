"""The secret that signs links to documents, so that links work from the first start and through the next ones."""

from __future__ import annotations

import secrets
from pathlib import Path

from service.dev.private_files import recall, remember
from service.settings import Settings


def document_secret(settings: Settings, file: Path) -> dict[str, str]:
    """Return the setting: the environment's, else the one kept in `file`, which is made if it is not there."""
    if settings.documents_secret:
        return {"WAYBILL_DOCUMENTS_SECRET": settings.documents_secret}
    kept = recall(file)
    if "secret" not in kept:
        kept = {"secret": secrets.token_hex(32)}
        remember(file, kept)
    return {"WAYBILL_DOCUMENTS_SECRET": kept["secret"]}
