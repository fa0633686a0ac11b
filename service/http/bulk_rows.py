"""The rows of a bulk request: read together, each right or wrong by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from schemas.shipment_completion import MOST_ROWS, CompleteShipmentRequest
from service.http.bodies import KIB, describe, is_json_lines, read_text
from service.shipping.errors import InvalidRequest

# Room for MOST_ROWS of the longest numbers that are in use.
LIMIT = 4096 * KIB
# So many are read in one go, then others have their turn.
READ_TOGETHER = 500

ReadRow: TypeAlias = CompleteShipmentRequest | InvalidRequest


class _Body(BaseModel):
    """`CompleteShipmentsRequest`, with rows that may be anything."""

    shipments: list[Any] = Field(min_length=1, max_length=MOST_ROWS)


async def read_rows(request: web.Request) -> AsyncIterator[ReadRow]:
    """Yield each row, or why it is none. Raises what `read_text` raises, or `InvalidRequest` for the whole body."""
    text = await read_text(request, limit=LIMIT, lines_too=True)
    values, read = (_lines(text), _from_line) if is_json_lines(request.content_type) else (_values(text), _from_value)
    for count, value in enumerate(values, start=1):
        try:
            yield read(value)
        except ValidationError as error:
            yield InvalidRequest(describe(error))
        if count % READ_TOGETHER == 0:
            await asyncio.sleep(0)


def _values(text: str) -> list[Any]:
    try:
        return _Body.model_validate_json(text).shipments
    except ValidationError as error:
        raise InvalidRequest(describe(error)) from None


def _lines(text: str) -> list[Any]:
    lines = [line for line in text.split("\n") if line.strip()]
    if not 1 <= len(lines) <= MOST_ROWS:
        raise InvalidRequest(f"body: expected 1 to {MOST_ROWS} lines, not {len(lines)}")
    return lines


def _from_line(line: str) -> CompleteShipmentRequest:
    return CompleteShipmentRequest.model_validate_json(line)


def _from_value(value: Any) -> CompleteShipmentRequest:  # noqa: ANN401 - whatever JSON can be
    try:
        return CompleteShipmentRequest.model_validate(value)
    except ValidationError:
        # In the words for JSON, which the single call uses.
        return CompleteShipmentRequest.model_validate_json(to_json(value))
