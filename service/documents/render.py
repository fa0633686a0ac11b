"""Make the PDF of a document."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

from service.documents.apart import typeset_apart
from service.documents.content import DocumentContent, DocumentKind
from service.documents.layout import lay_out
from service.documents.typesetting import typeset

# Bytes of template data, some 200 lines: the most that is worth the memory it leaves in this process.
_LARGE: Final = 32_768


def render_document(kind: DocumentKind, content: DocumentContent) -> bytes:
    """Return a PDF; the same content gives the same bytes. Blocks, from any thread.

    Raises `NotCaptured` for the invoice of a shipment that is not captured.
    """
    data = json.dumps(lay_out(kind, content), ensure_ascii=False).encode()
    template = "delivery-note" if kind is DocumentKind.DELIVERY_NOTE else "bill"
    invoice = content.invoice if kind is DocumentKind.INVOICE else None
    day = invoice.issued_on if invoice else content.delivery_date
    return (typeset if len(data) <= _LARGE else typeset_apart)(template, data, day=day)


async def render(kind: DocumentKind, content: DocumentContent) -> bytes:
    """Return a PDF as `render_document` does, without keeping the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), render_document, kind, content)


@cache
def _thread() -> ThreadPoolExecutor:
    # One thread: documents wait for each other, not completions for documents. Not the loop's own executor, which
    # looks up host names.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")
