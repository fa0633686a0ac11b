"""Read a JSON body into a model, or say which field is wrong."""

from __future__ import annotations

import asyncio
import codecs
from contextlib import nullcontext
from typing import TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from schemas.problems import problems_of
from service.shipping.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)

KIB = 1024
# Enough for any documented request; design section 5.
USUAL_LIMIT = 64 * KIB
# aiohttp's own limit for the whole application. Only bodies of many rows may be larger.
LARGEST_LIMIT = 1024 * KIB
# A caller that sends a few bytes now and then must not hold a connection for ever.
BODY_TIMEOUT_S = 30.0

JSON_LINES = "application/x-ndjson"
# The other names that are in use; none is registered.
_JSON_LINES = frozenset({JSON_LINES, "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_ENCODINGS = frozenset({"identity", "gzip", "deflate"})
_CHARSETS = frozenset(
    {"utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii", "iso8859-1", "cp1252"}
)


async def read_json(request: web.Request, model: type[Model], *, limit: int = USUAL_LIMIT) -> Model:
    """Return the body as `model`. Raises `InvalidRequest` naming each wrong field, or what `read_text` raises."""
    text = await read_text(request, limit=limit)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidRequest(describe(error)) from None


async def read_text(request: web.Request, *, limit: int = USUAL_LIMIT, lines_too: bool = False) -> str:
    """Return the text of a JSON body, with `lines_too` also of one of JSON lines.

    Raises the HTTP errors 408 (it does not arrive within `BODY_TIMEOUT_S`), 413 (more than `limit` bytes) and 415, or
    `InvalidRequest` for bytes that are no text. A request that names no content type is taken for JSON: old clients
    leave it out.
    """
    if hdrs.CONTENT_TYPE in request.headers and not (
        is_json(request.content_type) or (lines_too and is_json_lines(request.content_type))
    ):
        expected = f"application/json or {JSON_LINES}" if lines_too else "application/json"
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type must be {expected}.")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() not in _ENCODINGS:
        raise web.HTTPUnsupportedMediaType(text="Content-Encoding must be gzip or deflate, if any.")
    charset = _charset(request)
    body = await _read(request, limit=limit)
    try:
        return body.decode(charset)
    except UnicodeError:
        raise InvalidRequest("The body is not valid in its charset; UTF-8 is expected.") from None


async def _read(request: web.Request, *, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        # Nearly every body has come with its headers, and pays for no timer.
        async with nullcontext() if request.content.is_eof() else asyncio.timeout(BODY_TIMEOUT_S):
            if limit > request.client_max_size:
                request = request.clone(client_max_size=limit)
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"The body did not arrive within {BODY_TIMEOUT_S:g} s.") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    except web.RequestPayloadError:
        raise InvalidRequest("The body is not encoded as its headers say.") from None
    except ConnectionError:
        # Nobody hears this; the log tells it apart from our own connections.
        raise InvalidRequest("The body ended early.") from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def describe(error: ValidationError) -> str:
    """Name every wrong field and what was expected; values are not repeated."""
    return "; ".join(problems_of(error))


def is_json(content_type: str) -> bool:
    """Return whether a content type means JSON."""
    return content_type in {"application/json", "text/json"} or content_type.endswith("+json")


def is_json_lines(content_type: str) -> bool:
    """Return whether a content type means one JSON value per line."""
    return content_type in _JSON_LINES


def _charset(request: web.Request) -> str:
    """Return the codec to read the body with. JSON is UTF-8; the others are what old clients send."""
    try:
        name = codecs.lookup(request.charset or "utf-8").name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise web.HTTPUnsupportedMediaType(text="The charset of Content-Type is not known; use utf-8.")
    # A byte order mark is no JSON, but Windows clients send it.
    return "utf-8-sig" if name == "utf-8" else name


def _too_large(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        max_size=limit, actual_size=limit, text=f"The body is larger than {limit // KIB} KiB."
    )
