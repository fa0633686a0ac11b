"""The languages of mails: which one an order's locale means, its texts, and dates and numbers as it writes them.

A language is a file `locales/<code>.toml`: a text per key, and per key that counts a table of its plural forms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal

FALLBACK: Final = "en"

_LOCALES = Path(__file__).parent / "locales"


@dataclass(frozen=True, slots=True)
class Language:
    """One language as one region writes it. `tag` is what `lang` attributes and Content-Language hold."""

    tag: str
    texts: Mapping[str, str | Mapping[str, str]]
    region: Locale

    def text(self, key: str, **values: str) -> str:
        """Return the text of `key` with its `{placeholders}` filled in. Raises `KeyError` for an unknown key."""
        template = self.texts[key]
        if not isinstance(template, str):
            raise KeyError(f"{key} counts something: use count()")
        return template.format_map(values)

    def count(self, key: str, number: int) -> str:
        """Return the text of `key` in the plural form for `number`, which stands at `{n}`."""
        forms = self.texts[key]
        if isinstance(forms, str):
            raise KeyError(f"{key} counts nothing: use text()")
        template = forms.get(self.region.plural_form(number), forms["other"])
        return template.format(n=self.number(number))

    def number(self, number: int) -> str:
        """Return `number` with the region's digits and separators."""
        return _number(number, self.region)

    def date(self, moment: datetime) -> str:
        """Return the day of `moment` in its own time zone."""
        return _date(moment.date(), self.region)

    def country(self, code: str) -> str:
        """Return the name of an ISO 3166 country, or `code` if it is none."""
        return str(self.region.territories.get(code.upper(), code))


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages that there are texts in."""
    return tuple(sorted(path.stem for path in _LOCALES.glob("*.toml")))


@lru_cache(maxsize=256)
def language(locale: str) -> Language:
    """Return the language for a locale such as `sv-SE`: of the region, else of the language, else English."""
    parts = locale.replace("-", "_").split("_")
    code = parts[0].lower()
    if code not in known_languages():
        return Language(FALLBACK, _texts(FALLBACK), Locale.parse(FALLBACK))
    try:
        region = Locale.parse("_".join([code, *parts[1:]]))
    except (UnknownLocaleError, ValueError):
        region = Locale.parse(code)
    return Language(str(region).replace("_", "-"), _texts(code), region)


# Mails are about few pieces, and about today.
@lru_cache(maxsize=1024)
def _number(number: int, region: Locale) -> str:
    return format_decimal(number, locale=region)


@lru_cache(maxsize=1024)
def _date(day: date, region: Locale) -> str:
    return format_date(day, format="long", locale=region)


@cache
def _texts(code: str) -> Mapping[str, str | Mapping[str, str]]:
    return tomllib.loads((_LOCALES / f"{code}.toml").read_text("utf-8"))
