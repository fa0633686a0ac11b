"""What callers of the Order API's lists ask for in the query. Unknown names are ignored."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.fields import Code
from schemas.order_api_answers import NO_DATE

DEFAULT_LIMIT: Final = 20
# More than this is refused rather than cut short: who gets fewer rows than asked for takes them for the last ones.
MAX_LIMIT: Final = 500
MAX_OFFSET: Final = 1_000_000_000

_DAY = (
    r"[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-9]))"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
# A plus sign that was not percent-encoded arrives as a space.
_TIME = re.compile(rf"({_DAY})(?:[ T]({_CLOCK})([Zz]|[-+ ](?:[01][0-9]|2[0-3]):?[0-5][0-9])?)?")


def _parse_time(value: object) -> datetime | None:
    """Return a date or time, without a zone where it has none."""
    if value in {None, NO_DATE}:
        return None
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        day, time, offset = match.groups(default="")
        try:
            return datetime.fromisoformat(f"{day}T{time or '00:00'}{offset.replace(' ', '+').upper()}")
        except ValueError:
            pass  # the 29th of February in another year
    raise PydanticCustomError(
        "time", "expected YYYY-MM-DD or YYYY-MM-DD HH:MM:SS in the store's time zone, or with an offset such as +01:00"
    )


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


Time = Annotated[
    datetime | None,
    BeforeValidator(_parse_time),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?:{_TIME.pattern}|{NO_DATE})$",
            "examples": ["2026-11-21 19:30:00", "2026-11-21", "2026-11-21T18:30:00Z"],
        }
    ),
]


class _Query(BaseModel):
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="most rows to answer with")
    offset: int = Field(
        0, ge=0, le=MAX_OFFSET, description="rows of the list to pass over; the cost of a call grows with it"
    )
    order: Code | None = Field(None, description="only this order")


class OrdersQuery(_Query):
    """Query of `GET /orders`."""

    newer_than: Time = Field(None, description="placed at this time or later")
    older_than: Time = Field(None, description="placed before this time")


class ShipmentsQuery(_Query):
    """Query of `GET /shipments`."""

    status: Annotated[Literal["goodtogo", "inprogress", "completed"], BeforeValidator(_lower)] = Field(
        "goodtogo",
        description="`goodtogo`: good to go and not sent, its order neither on hold nor waiting for payment;"
        " `inprogress`: not sent; `completed`: sent",
    )
