"""Field types of the Order API, as callers of both of its ages write them: booleans as 1 or "1", numbers as text.

What is sent blank counts as not sent. Limits are the database's.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.field_schemas import flag_schema, pieces_schema, text_schema, whole_number_schema
from schemas.fields import (
    LineId,
    Quantity,
    blank_as_none,
    clean_identifier,
    parse_decimal,
)

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})

MAX_PACKAGES: Final = 1_000_000
# A comment is appended to what is there, and the column holds 65,536 characters.
MAX_COMMENT: Final = 10_000

# Without a user's name before the host, which serves only to make a link look like another one.
_URL = re.compile(
    r"[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_.])?"
    r"(?::(?:[1-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?)?(?:[/?#][!-~]*)?"
)
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
    if not _URL.fullmatch(value):
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
_PRODUCTS: Final = {
    "anyOf": [
        pieces_schema(),
        # How PHP encodes an empty one.
        {"type": "array", "maxItems": 0},
    ]
}
_URL_SCHEMA: Final = {"type": ["string", "null"], "maxLength": 2000, "pattern": rf"^(?:{_URL.pattern})?$|^\s*$"}
_COMMENT_SCHEMA: Final = {
    "type": ["string", "integer", "null"],
    "maxLength": MAX_COMMENT,
    "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
}

Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(100, number=True)),
]
Flag = Annotated[bool | None, BeforeValidator(read_flag), WithJsonSchema(flag_schema(TRUE, FALSE, optional=True))]
Packages = Annotated[
    int | None,
    Field(ge=0, le=MAX_PACKAGES),
    BeforeValidator(read_packages),
    WithJsonSchema(whole_number_schema(0, MAX_PACKAGES, blank=True)),
]
OptionalName = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=100)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(100, optional=True, number=True)),
]
OptionalNumber = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(255, optional=True, number=True)),
]
OptionalUrl = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(read_url)] | None,
    BeforeValidator(blank_as_none),
    BeforeValidator(clean_identifier),
    WithJsonSchema(_URL_SCHEMA),
]
OptionalComment = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_COMMENT)] | None,
    BeforeValidator(read_comment),
    WithJsonSchema(_COMMENT_SCHEMA),
]
Products = Annotated[dict[LineId, Quantity], BeforeValidator(read_products), WithJsonSchema(_PRODUCTS)]
