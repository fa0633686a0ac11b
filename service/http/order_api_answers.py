"""Answers of the Order API: one body, as JSON or, where the caller wishes it, as XML."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from pydantic_core import from_json

from service.http.bodies import USUAL_LIMIT, is_json
from service.http.xml_answers import to_xml

# Whether the body asked for XML; set as soon as a body was read.
XML_IN_BODY = web.RequestKey("xml_in_body", bool)

# A refused caller's wish is looked up in a body that nobody has read yet, but not waited for.
_LOOK_S = 1.0


def answer(
    request: web.Request, body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Encode `body`, in XML if `xml` is true in the query or in the body."""
    text = to_xml(body) if wants_xml(request) else json.dumps(body)
    return answer_encoded(request, text, status=status, headers=headers)


def answer_encoded(
    request: web.Request, text: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a `text` that was encoded for the same request."""
    content_type = "application/xml" if wants_xml(request) else "application/json"
    return web.Response(text=text, status=status, headers=headers, content_type=content_type, charset="utf-8")


def wants_xml(request: web.Request) -> bool:
    """Return whether the answer is to be XML, as far as is known yet."""
    return is_true(request.query.get("xml")) or request.get(XML_IN_BODY, False)


def note_wish(request: web.Request, body: object) -> None:
    """Remember whether the JSON `body` asks for XML."""
    request[XML_IN_BODY] = isinstance(body, dict) and is_true(body.get("xml"))


async def look_for_wish(request: web.Request) -> None:
    """Look into a body that was refused before anybody read it, if it is short and has arrived."""
    length = request.content_length
    if XML_IN_BODY in request or not length or length > USUAL_LIMIT or hdrs.CONTENT_TYPE not in request.headers:
        return
    if not is_json(request.content_type):
        return
    try:
        async with asyncio.timeout(_LOOK_S):
            note_wish(request, from_json(await request.read()))
    except (ValueError, TimeoutError, OSError, web.HTTPException):
        # Whoever sends no JSON gets the usual answer.
        return


def is_true(value: object) -> bool:
    """Read a boolean as callers of both ages of the contract write it: true, 1, "1", "true"."""
    if isinstance(value, str):
        return value.strip().lower() in {"1", "true", "yes", "on"}
    return value is True or (isinstance(value, int | float) and value == 1)
