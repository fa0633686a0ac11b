"""Types of single fields that come from outside. Liberal in spelling, strict in meaning; limits are the database's.

Every message says what was expected and leaves out what was sent, because that may be somebody's personal data.
"""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from functools import cache, lru_cache
from typing import Annotated, Final

import idna
from babel import Locale, UnknownLocaleError
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.field_schemas import AMOUNT, CODE, MAX_QUANTITY, RATE, flag_schema, text_schema, whole_number_schema
from schemas.money import is_currency

# Beyond it not every whole number has a floating point number of its own.
_EXACT_FLOAT: Final = 2**53

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_UNICODE = re.compile(r"[\ud800-\udfff]")
_DECIMAL = re.compile(r"-?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})")
# Nothing that could end a mail header or be read as a second address.
_EMAIL_LOCAL = re.compile(r"""[^\s@<>()\[\]\\,;:"]+""")
_EMAIL_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_EMAIL_DOMAIN = re.compile(rf"{_EMAIL_LABEL}(?:\.{_EMAIL_LABEL})*")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
# CLDR's groupings, pseudo-accents and "unknown" look like countries but are none.
_NO_COUNTRIES: Final = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})


def clean_text(value: object) -> object:
    """Strip and compose (NFC) text, so that what looks the same is the same; refuse control characters."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.isascii():
        if _NOT_UNICODE.search(text):
            raise PydanticCustomError("not_unicode", "expected valid UTF-8")
        text = unicodedata.normalize("NFC", text).strip()
    if CONTROL.search(text):
        raise PydanticCustomError("control_character", "expected text without control characters")
    return text


def clean_identifier(value: object) -> object:
    """Clean an identifier, which may be sent as a whole number; JSON knows no difference between 5 and 5.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        value = int(value)
    return clean_text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def blank_as_none(value: object) -> object:
    """Let an optional field be sent blank."""
    return None if isinstance(value, str) and not value.strip() else value


def parse_decimal(value: object) -> Decimal:
    """Read a decimal number from text or from a JSON number, digit by digit as it was written."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, float) and math.isfinite(value):
        # The shortest text that reads as this float: exact for every amount within schemas.money's bound.
        return Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise PydanticCustomError("decimal_text", 'expected a decimal number such as "199.00"')


def parse_quantity(value: object) -> int:
    """Read a whole number of pieces from text or from a JSON number."""
    try:
        number = parse_decimal(value)
    except PydanticCustomError:
        number = Decimal(0)
    if not 1 <= number <= MAX_QUANTITY or number != number.to_integral_value():
        raise PydanticCustomError("quantity", "expected a whole number from 1 to {most}", {"most": str(MAX_QUANTITY)})
    return int(number)


def parse_email(value: str) -> str:
    """Check an address's syntax and lower its domain, which is the part that means the same in either case."""
    local, _, domain = value.rpartition("@")
    local_fits = _EMAIL_LOCAL.fullmatch(local) and local.isprintable() and len(local.encode()) <= 64
    if not local_fits or not _EMAIL_DOMAIN.fullmatch(_ascii_domain(domain)):
        raise PydanticCustomError("email", 'expected an e-mail address such as "name@example.com"')
    return f"{local}@{domain.lower()}"


def _ascii_domain(domain: str) -> str:
    try:
        return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return ""


@lru_cache(maxsize=1024)
def parse_locale(value: str) -> str:
    """Return the BCP 47 tag of the closest locale that Babel knows: "sv_se" is "sv-SE", "sv-JP" is "sv"."""
    if _LOCALE.fullmatch(value):
        language = re.split("[-_]", value)[0]
        for name in (value.replace("-", "_"), language):
            try:
                return str(Locale.parse(name)).replace("_", "-")
            except (UnknownLocaleError, ValueError):
                continue
    raise PydanticCustomError("locale", 'expected a locale such as "sv-SE"')


def parse_currency(value: str) -> str:
    """Check an ISO 4217 code, in either case."""
    if not is_currency(value.upper()):
        raise PydanticCustomError("currency", 'expected an ISO 4217 currency code such as "SEK"')
    return value.upper()


@cache
def country_names() -> dict[str, str]:
    """Return every ISO 3166 alpha-2 code with its English name."""
    return {
        code: name
        for code, name in Locale("en").territories.items()
        if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES
    }


def parse_country(value: str) -> str:
    """Check an ISO 3166 alpha-2 code, in either case."""
    if value.upper() not in country_names():
        raise PydanticCustomError("country", 'expected an ISO 3166 country code such as "SE"')
    return value.upper()


# Constraints stand before the validators that run ahead of them, so that pydantic checks and documents them as
# constraints of the type.
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=200), BeforeValidator(clean_text), WithJsonSchema(text_schema(200))
]
LongText = Annotated[
    str, StringConstraints(min_length=1, max_length=500), BeforeValidator(clean_text), WithJsonSchema(text_schema(500))
]
OptionalText = Annotated[Text | None, BeforeValidator(blank_as_none), WithJsonSchema(text_schema(200, optional=True))]
LineId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(64, number=True)),
]
Sku = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(100, number=True)),
]
Authorization = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    BeforeValidator(clean_identifier),
    WithJsonSchema(text_schema(255, number=True)),
]
Provider = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$"), BeforeValidator(clean_text)]
Code = Annotated[
    str,
    StringConstraints(pattern=CODE),
    BeforeValidator(clean_identifier),
    WithJsonSchema({"type": ["string", "integer"], "pattern": CODE, "minimum": 0}),
]
Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(parse_email),
    BeforeValidator(clean_text),
    WithJsonSchema({"type": "string", "format": "idn-email", "maxLength": 254}),
]
LocaleTag = Annotated[
    str,
    StringConstraints(max_length=35),
    AfterValidator(parse_locale),
    BeforeValidator(clean_text),
    WithJsonSchema({"type": "string", "maxLength": 35, "pattern": "^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*$"}),
]
Currency = Annotated[
    str,
    AfterValidator(parse_currency),
    BeforeValidator(clean_text),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{3}$"}),
]
Country = Annotated[
    str,
    AfterValidator(parse_country),
    BeforeValidator(clean_text),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{2}$"}),
]
# As pydantic reads booleans.
Switch = Annotated[
    bool, WithJsonSchema(flag_schema({"1", "on", "t", "true", "y", "yes"}, {"0", "off", "f", "false", "n", "no"}))
]
Quantity = Annotated[
    int,
    Field(ge=1, le=MAX_QUANTITY),
    BeforeValidator(parse_quantity),
    WithJsonSchema(whole_number_schema(1, MAX_QUANTITY)),
]
Amount = Annotated[Decimal, Field(ge=0), BeforeValidator(parse_decimal), WithJsonSchema(AMOUNT)]
Rate = Annotated[Decimal, Field(ge=0, le=1, decimal_places=6), BeforeValidator(parse_decimal), WithJsonSchema(RATE)]
