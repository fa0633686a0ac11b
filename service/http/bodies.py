"""Read a JSON body into a model, or say which field is wrong."""

from __future__ import annotations

import codecs
from typing import TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from schemas.problems import problems_of
from service.shipping.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)

KIB = 1024
# Enough for any documented request; design section 5.
USUAL_LIMIT = 64 * KIB
# aiohttp's own limit for the whole application: that of the largest body any endpoint takes.
LARGEST_LIMIT = 1024 * KIB


async def read_json(request: web.Request, model: type[Model], *, limit: int = USUAL_LIMIT) -> Model:
    """Return the body as `model`. Raises `InvalidRequest` naming each wrong field, or what `read_text` raises."""
    text = await read_text(request, limit=limit)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidRequest(describe(error)) from None


async def read_text(request: web.Request, *, limit: int = USUAL_LIMIT) -> str:
    """Return the text of a JSON body.

    Raises the HTTP errors 413 (more than `limit` bytes) and 415, or `InvalidRequest` for bytes that are no text.
    A request that names no content type is taken for JSON: old clients leave it out.
    """
    if hdrs.CONTENT_TYPE in request.headers and not is_json(request.content_type):
        raise web.HTTPUnsupportedMediaType(text="Content-Type must be application/json.")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = await request.read()
    if len(body) > limit:
        raise _too_large(limit)
    return _decode(body, request.charset)


def describe(error: ValidationError) -> str:
    """Name every wrong field and what was expected; values are not repeated."""
    return "; ".join(problems_of(error))


def is_json(content_type: str) -> bool:
    """Return whether a content type means JSON."""
    return content_type in {"application/json", "text/json"} or content_type.endswith("+json")


def _decode(body: bytes, charset: str | None) -> str:
    # A byte order mark is no JSON, but Windows clients send it.
    name = "utf-8-sig" if charset is None or charset.lower() in {"utf-8", "utf8"} else charset
    try:
        codecs.lookup(name)
        return body.decode(name)
    except LookupError:
        raise web.HTTPUnsupportedMediaType(text="The charset of Content-Type is not known; use utf-8.") from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid in its charset; UTF-8 is expected.") from None


def _too_large(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        max_size=limit, actual_size=limit, text=f"The body is larger than {limit // KIB} KiB."
    )
