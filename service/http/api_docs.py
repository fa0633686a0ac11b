"""The OpenAPI documents and a page to browse them, which loads nothing from elsewhere.

Open without a key: they say nothing about any order, and the page could not show them otherwise.
"""

from __future__ import annotations

import json
from importlib.metadata import version

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from schemas.openapi import SHIPMENTS_BASE, shipment_completion_document
from schemas.openapi_orders import ORDERS_BASE, order_intake_document
from service.http.context import Handler

DOCUMENTS = {
    f"{SHIPMENTS_BASE}/api-docs": shipment_completion_document,
    f"{ORDERS_BASE.removesuffix('/orders')}/api-docs": order_intake_document,
}

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


def routes() -> list[web.AbstractRouteDef]:
    """Render every document once and return the routes to them and to the page."""
    release = version("waybill")
    documents = {path: build(release) for path, build in DOCUMENTS.items()}
    script = _page_script([{"url": path, "name": content["info"]["title"]} for path, content in documents.items()])

    async def page(_request: web.Request) -> web.Response:
        return web.Response(
            text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _CONTENT_SECURITY_POLICY}
        )

    async def page_script(_request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    return [
        *(web.get(path, _fixed_json(json.dumps(content))) for path, content in documents.items()),
        web.get("/docs", page),
        web.get("/docs/", page),
        web.get("/docs/page.js", page_script),
        web.static("/docs/assets", str(swagger_ui_path)),
    ]


def _fixed_json(text: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(text=text)

    return answer
