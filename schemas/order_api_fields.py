"""Field types of the Order API, as callers of both of its ages write them: booleans as 1 or "1", numbers as text.

What is sent blank counts as not sent. Limits are the database's.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.fields import MAX_QUANTITY, LineId, Quantity, blank_as_none, clean_identifier, parse_decimal

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})

MAX_PACKAGES: Final = 1_000_000
# A comment is appended to what is there, and the column holds 65,536 characters.
MAX_COMMENT: Final = 10_000

_URL = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def read_flag(value: object) -> bool | None:
    """Read true, 1, "1" or "true", and the like for false; blank is None."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float) and value in {0, 1}:
        return value == 1
    if isinstance(value, str):
        text = value.strip().lower()
        if text in TRUE or text in FALSE or not text:
            return text in TRUE if text else None
    raise PydanticCustomError("flag", "expected true or false")


def read_packages(value: object) -> int | None:
    """Read a number of packages; 0 is what clients send that know none."""
    if blank_as_none(value) is None:
        return None
    try:
        number = parse_decimal(value)
    except PydanticCustomError:
        number = Decimal(-1)
    if not 0 <= number <= MAX_PACKAGES or number != number.to_integral_value():
        raise PydanticCustomError("packages", "expected a whole number from 0 to {most}", {"most": str(MAX_PACKAGES)})
    return int(number) or None


def read_url(value: str) -> str:
    """Check an absolute http or https address. It ends up in mails, so nothing else may be one."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and _URL.fullmatch(value)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise PydanticCustomError("url", "expected an http or https address")
    return value


def read_comment(value: object) -> object:
    """Strip a text of several lines and refuse control characters."""
    if not isinstance(value, str):
        return clean_identifier(value)
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if _CONTROL.search(text):
        raise PydanticCustomError("control_character", "expected text without control characters")
    return text or None


def read_products(value: object) -> object:
    """Let an empty PHP array, which is encoded as a list, be an empty object, and name what is expected of others."""
    if isinstance(value, dict):
        lines = [clean_identifier(line) for line in value]
        if len(set(lines)) == len(lines):
            return value
        raise PydanticCustomError("line_twice", "the same line is named twice")
    if value == []:
        return {}
    raise PydanticCustomError("products", 'expected an object of quantities by lineId such as {"43243": 1}')


# What is accepted, for the documents: pydantic can only tell what comes out.
_DIGITS: Final = {"type": "string", "pattern": "^[0-9]{1,10}$"}
_FLAG: Final = {"enum": [True, False, 1, 0, *sorted(TRUE), *sorted(FALSE), "", None]}
_PACKAGES: Final = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_PACKAGES}, _DIGITS, {"enum": ["", None]}]
}
_PRODUCTS: Final = {
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": 64},
    "additionalProperties": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY}, _DIGITS]},
}


def _optional_text(max_length: int) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "integer", "null"], "maxLength": max_length})


Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    BeforeValidator(clean_identifier),
    WithJsonSchema({"type": ["string", "integer"], "minLength": 1, "maxLength": 100}),
]
Flag = Annotated[bool | None, BeforeValidator(read_flag), WithJsonSchema(_FLAG)]
Packages = Annotated[
    int | None, Field(ge=0, le=MAX_PACKAGES), BeforeValidator(read_packages), WithJsonSchema(_PACKAGES)
]
OptionalName = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=100)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    _optional_text(100),
]
OptionalNumber = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    _optional_text(255),
]
OptionalUrl = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(read_url)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    WithJsonSchema({"type": ["string", "null"], "maxLength": 2000}),
]
OptionalComment = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_COMMENT)] | None,
    BeforeValidator(read_comment),
    _optional_text(MAX_COMMENT),
]
Products = Annotated[dict[LineId, Quantity], BeforeValidator(read_products), WithJsonSchema(_PRODUCTS)]
