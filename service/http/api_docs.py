"""The OpenAPI documents and a page to browse them, which loads nothing from elsewhere.

Open without a key: they say nothing about any order, and the page could not show them otherwise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from schemas.paths import ORDERS_BASE, SHIPMENTS_BASE
from service.http.context import Handler
from service.http.xml_answers import to_xml


@dataclass(frozen=True, slots=True)
class ApiDocument:
    """Where a document is, what the page calls it, and how it is built.

    The builder by name: importing it takes half a second and 20 MB, which a process pays when somebody first asks for
    the document.
    """

    path: str
    title: str
    module: str
    builder: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> str:
        """Return the document as JSON."""
        build = getattr(import_module(self.module), self.builder)
        return json.dumps(build(version("waybill"), **self.arguments))


def documents(order_api_prefix: str) -> list[ApiDocument]:
    """Return the documents of all contracts."""
    return [
        ApiDocument(
            f"{SHIPMENTS_BASE}/api-docs",
            "Shipment Completion API",
            "schemas.openapi_shipments",
            "shipment_completion_document",
        ),
        ApiDocument(
            f"{order_api_prefix}/api-docs",
            "Order API",
            "schemas.openapi_order_api",
            "order_api_document",
            {"prefix": order_api_prefix, "as_xml": to_xml},
        ),
        ApiDocument(
            f"{ORDERS_BASE.removesuffix('/orders')}/api-docs",
            "Order intake",
            "schemas.openapi_orders",
            "order_intake_document",
        ),
    ]


# Served from the process itself, so the page may fetch from its own origin only. Swagger UI sets inline styles.
_CONTENT_SECURITY_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Waybill API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
"""


def _page_script(urls: list[dict[str, str]]) -> str:
    return f"""SwaggerUIBundle({{
  urls: {json.dumps(urls)},
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
}});
"""


def routes(order_api_prefix: str) -> list[web.AbstractRouteDef]:
    """Return the routes to every document and to the page."""
    described = documents(order_api_prefix)
    script = _page_script([{"url": each.path, "name": each.title} for each in described])

    async def page(_request: web.Request) -> web.Response:
        return web.Response(
            text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _CONTENT_SECURITY_POLICY}
        )

    async def page_script(_request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    return [
        *(web.get(each.path, _answer(each)) for each in described),
        web.get("/docs", page),
        web.get("/docs/", page),
        web.get("/docs/page.js", page_script),
        web.static("/docs/assets", str(swagger_ui_path)),
    ]


def _answer(document: ApiDocument) -> Handler:
    text = cache(document.build)

    async def answer(_request: web.Request) -> web.Response:
        # On a thread, so that the first reader does not keep the callers waiting.
        return web.json_response(text=await asyncio.to_thread(text))

    return answer
