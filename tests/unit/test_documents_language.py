"""Documents speak five languages completely, and write money exactly."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from string import Formatter

import pytest

from schemas.money import is_currency
from service import documents
from service.documents.addresses import address_lines
from service.documents.content import Address
from service.documents.language import known_languages, language

LANGUAGES = ("de", "en", "es", "fr", "sv")
SOURCES = Path(documents.__file__).parent


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_the_languages_are_those_promised() -> None:
    assert known_languages() == LANGUAGES


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_every_label_with_the_same_placeholders(code: str) -> None:
    english, labels = language("en").labels, language(code).labels
    assert labels.keys() == english.keys()
    assert all(label.strip() == label != "" for label in labels.values())
    assert {key: placeholders(labels[key]) for key in labels} == {key: placeholders(english[key]) for key in english}


def test_every_label_is_used() -> None:
    code = "".join(path.read_text("utf-8") for path in SOURCES.glob("*.py"))
    assert [key for key in language("en").labels if f'"{key}"' not in code and f"'{key}'" not in code] == []


@pytest.mark.parametrize(
    ("locale", "code", "region"),
    [
        ("sv-SE", "sv", "sv_SE"), ("sv_FI", "sv", "sv_FI"), ("SV-se", "sv", "sv_SE"), ("de", "de", "de"),
        ("en-GB", "en", "en_GB"), ("fr-XX", "fr", "fr"), ("es-419", "es", "es_419"),
        ("ja-JP", "en", "en_001"), ("xx", "en", "en_001"), ("", "en", "en_001"),
    ],
)  # fmt: skip
def test_a_locale_means_its_region_its_language_or_english(locale: str, code: str, region: str) -> None:
    found = language(locale)
    assert (found.code, str(found.region)) == (code, region)


@pytest.mark.parametrize(
    ("locale", "minor", "currency", "money", "amount"),
    [
        ("sv-SE", 123450, "SEK", "1 234,50 kr", "1 234,50"),
        ("de-DE", 123450, "EUR", "1.234,50 €", "1.234,50"),
        ("fr-FR", 123450, "EUR", "1 234,50 €", "1 234,50"),
        ("es-ES", 1234550, "EUR", "12.345,50 €", "12.345,50"),
        ("en-GB", 123450, "GBP", "£1,234.50", "1,234.50"),
        ("en-US", 5, "USD", "$0.05", "0.05"),
        ("ja-JP", 10640, "JPY", "JP¥10,640", "10,640"),
        ("sv-SE", 10640, "JPY", "10 640 JPY", "10 640"),
        ("ar-KW", 1030090, "KWD", "KWD 1,030.090", "1,030.090"),
        ("de-DE", -2000, "EUR", "-20,00 €", "-20,00"),
        # People write these without decimals, and are charged with them.
        ("en-GB", 123456, "RSD", "RSD 1,234.56", "1,234.56"),
        ("en-GB", 123456, "IQD", "IQD 123.456", "123.456"),
        ("en-GB", 10**15 - 1, "EUR", "€9,999,999,999,999.99", "9,999,999,999,999.99"),
    ],
)
def test_money(locale: str, minor: int, currency: str, money: str, amount: str) -> None:
    plain = re.compile(r"[\u00a0\u202f]")
    speech = language(locale)
    assert plain.sub(" ", speech.money(minor, currency)) == money
    assert plain.sub(" ", speech.amount(minor, currency)) == amount


def test_an_amount_never_breaks_over_lines() -> None:
    for code in LANGUAGES:
        for currency in filter(is_currency, ("SEK", "EUR", "USD", "JPY", "KWD", "CHF")):
            assert " " not in language(code).money(123456789, currency)


@pytest.mark.parametrize(
    ("locale", "rate", "expected"),
    [("sv", "0.25", "25 %"), ("fr", "0.055", "5,5 %"), ("en", "0.1", "10%"), ("en", "0.021", "2.1%"), ("en", "0", "0%"),
     ("en", "0.333333", "33.3333%"), ("de", "0.250000", "25 %")],
)  # fmt: skip
def test_rates_have_no_more_decimals_than_they_need(locale: str, rate: str, expected: str) -> None:
    assert language(locale).percent(Decimal(rate)).replace("\u00a0", " ").replace("\u202f", " ") == expected


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("sv-SE", "1 februari 2026"), ("de-DE", "1. Februar 2026"), ("fr-FR", "1 février 2026"),
     ("es-ES", "1 de febrero de 2026"), ("en-GB", "1 February 2026"), ("en-US", "February 1, 2026"),
     ("ja-JP", "1 February 2026")],
)  # fmt: skip
def test_dates_cannot_be_mistaken(locale: str, expected: str) -> None:
    assert language(locale).date(date(2026, 2, 1)) == expected


def test_addresses_follow_their_country() -> None:
    swedish = Address(name="Åsa Öberg", street="Storgatan 1", postal_code="111 22", city="Stockholm", country="SE")
    american = Address(
        name="Ann Lee", company="Lee Inc.", street="1 Main St", street2="Suite 5", city="Reno", region="NV",
        postal_code="89501", country="US",
    )  # fmt: skip
    assert address_lines(swedish, language=language("de")) == [
        "Åsa Öberg", "Storgatan 1", "111 22 Stockholm", "Schweden",
    ]  # fmt: skip
    assert address_lines(american, language=language("sv")) == [
        "Ann Lee", "Lee Inc.", "1 Main St", "Suite 5", "Reno NV 89501", "USA",
    ]  # fmt: skip
    assert address_lines(Address(country="ZZ"), language=language("en")) == ["Unknown Region"]
    assert address_lines(Address(), language=language("en")) == []
