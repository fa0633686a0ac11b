"""The events' contract over HTTP: AsyncAPI, JSON Schemas, and a page that lists them. Open without a key."""

from __future__ import annotations

import json
from html import escape

from aiohttp import web

from schemas.event_schemas import asyncapi_document, event_schema, schema_file
from schemas.events import EventType
from schemas.topology import TOPIC
from service.http.context import Handler

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Waybill events</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid #d8dfe6; vertical-align: top }}
code {{ background: #eef2f5; padding: .1rem .3rem; border-radius: 3px }}
</style>
</head>
<body>
<h1>Waybill events</h1>
<p>Published on the durable topic exchange <code>{topic}</code>, at least once, in no order across shipments.
The routing key is the type. Fields are only ever added. <a href="/docs/events/asyncapi.json">AsyncAPI 3 document</a>
· <a href="/docs">HTTP APIs</a></p>
<table>
<tr><th>Type and routing key</th><th>When</th><th>Body</th></tr>
{rows}
</table>
</body>
</html>
"""


def routes() -> list[web.RouteDef]:
    """Render every document once and return the routes to them."""
    schemas = {kind: event_schema(kind) for kind in EventType}
    rows = "\n".join(
        f"<tr><td><code>{escape(kind)}</code></td><td>{escape(schema['description'])}</td>"
        f'<td><a href="/docs/events/{schema_file(kind)}">JSON Schema</a></td></tr>'
        for kind, schema in schemas.items()
    )
    page = _fixed(_PAGE.format(topic=escape(TOPIC), rows=rows), "text/html")
    return [
        web.get("/docs/events", page),
        web.get("/docs/events/", page),
        web.get("/docs/events/asyncapi.json", _fixed(json.dumps(asyncapi_document()), "application/json")),
        *(
            web.get(f"/docs/events/{schema_file(kind)}", _fixed(json.dumps(schema), "application/schema+json"))
            for kind, schema in schemas.items()
        ),
    ]


def _fixed(text: str, content_type: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type)

    return answer
