"""The languages of documents: labels, and money, dates and numbers as the order's region writes them.

A language is a file `locales/<code>.toml` with one text per label.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import NumberPattern, format_decimal, format_percent, parse_pattern

from schemas.money import minor_digits, to_decimal

FALLBACK: Final = "en"
# English as written outside any English-speaking country: no currency is "the" dollar, days come before months.
_FALLBACK_REGION: Final = "en_001"

# CLDR wants a space between a digit and a currency's letters, as in "KWD 1.500"; Babel leaves it out.
_TOUCHING = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"

_LOCALES = Path(__file__).parent / "locales"


@dataclass(frozen=True, slots=True)
class Language:
    """One language as one region writes it."""

    code: str
    labels: Mapping[str, str]
    region: Locale

    def label(self, key: str, **values: str) -> str:
        """Return a label with its `{placeholders}` filled in. Raises `KeyError` for an unknown key."""
        return self.labels[key].format(**values)

    def money(self, minor: int, currency: str) -> str:
        """Return an amount with its currency and all of the currency's decimals: `1 234,50 kr`."""
        pattern = _exact(self.region.currency_formats["standard"], currency)
        text: str = pattern.apply(to_decimal(minor, currency), self.region, currency=currency, currency_digits=False)
        return _TOUCHING.sub(_NO_BREAK_SPACE, text)

    def amount(self, minor: int, currency: str) -> str:
        """Return an amount without its currency, for columns: `1 234,50`."""
        pattern = _exact(self.region.decimal_formats[None], currency)
        text: str = pattern.apply(to_decimal(minor, currency), self.region)
        return text

    def number(self, number: int) -> str:
        """Return a whole number."""
        return format_decimal(number, locale=self.region)

    def percent(self, rate: Decimal) -> str:
        """Return a rate with no more decimals than it has: `25 %`, `5.5%`."""
        pattern = parse_pattern(self.region.percent_formats[None])
        pattern.frac_prec = (0, 4)
        return format_percent(rate, format=pattern, locale=self.region)

    def date(self, day: date) -> str:
        """Return a day, its month as a word, so that nobody takes it for another."""
        return format_date(day, format="long", locale=self.region)

    def country(self, code: str) -> str:
        """Return the name of an ISO 3166 country, or `code` if it is none."""
        return str(self.region.territories.get(code.upper(), code))


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages that there are labels in."""
    return tuple(sorted(path.stem for path in _LOCALES.glob("*.toml")))


@lru_cache(maxsize=256)
def language(locale: str) -> Language:
    """Return the language for a locale such as `sv-SE`: of the region, else of the language, else English."""
    code, *rest = locale.replace("-", "_").split("_")
    code = code.lower()
    if code not in known_languages():
        return Language(FALLBACK, _labels(FALLBACK), Locale.parse(_FALLBACK_REGION))
    try:
        region = Locale.parse("_".join([code, *rest]))
    except (UnknownLocaleError, ValueError):
        region = Locale.parse(code)
    return Language(code, _labels(code), region)


@cache
def _labels(code: str) -> Mapping[str, str]:
    return tomllib.loads((_LOCALES / f"{code}.toml").read_text("utf-8"))


def _exact(pattern: NumberPattern, currency: str) -> NumberPattern:
    # Babel would show as many decimals as people usually write, which for some currencies hides part of the amount.
    digits = minor_digits(currency)
    exact = parse_pattern(pattern.pattern)
    exact.frac_prec = (digits, digits)
    return exact
