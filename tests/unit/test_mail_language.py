from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from consumers.email.language import FALLBACK, known_languages, language

Texts = Mapping[str, str | Mapping[str, str]]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def flat(texts: Texts) -> dict[str, str]:
    return {
        (key if isinstance(text, str) else f"{key}.{form}"): each
        for key, text in texts.items()
        for form, each in ({"": text} if isinstance(text, str) else text).items()
    }


def test_the_languages_are_those_that_are_promised() -> None:
    assert set(known_languages()) >= {"en", "sv", "de", "fr", "es"}


@pytest.mark.parametrize("code", known_languages())
def test_every_language_has_every_text_with_the_same_placeholders(code: str) -> None:
    expected, found = (flat(language(each).texts) for each in (FALLBACK, code))
    assert found.keys() == expected.keys()
    assert {key: placeholders(text) for key, text in found.items()} == {
        key: placeholders(text) for key, text in expected.items()
    }
    assert all(text.strip() == text and text for text in found.values())


@pytest.mark.parametrize("code", [code for code in known_languages() if code != FALLBACK])
def test_no_text_was_left_in_english(code: str) -> None:
    english, found = (flat(language(each).texts) for each in (FALLBACK, code))
    same = {key for key in found if found[key] == english[key] and key != "service"}
    assert same == set()


@pytest.mark.parametrize("code", known_languages())
def test_what_counts_knows_one_and_many(code: str) -> None:
    tongue = language(code)
    for key, forms in tongue.texts.items():
        if not isinstance(forms, str):
            assert {"one", "other"} <= set(forms) <= set(Locale.parse(code).plural_form.tags) | {"other"}
            for number in (0, 1, 2, 5, 21, 1_000_000):
                assert tongue.number(number) in tongue.count(key, number)


@pytest.mark.parametrize(
    ("locale", "tag", "title"),
    [
        ("sv-SE", "sv-SE", "Din order är på väg"),
        ("sv_fi", "sv-FI", "Din order är på väg"),
        ("sv", "sv", "Din order är på väg"),
        ("SV", "sv", "Din order är på väg"),
        ("de-AT", "de-AT", "Ihre Bestellung ist unterwegs"),
        ("de-XX-oddity", "de", "Ihre Bestellung ist unterwegs"),
        ("fi-FI", "en", "Your order is on its way"),
        ("zh-Hant-TW", "en", "Your order is on its way"),
        ("no such locale", "en", "Your order is on its way"),
        ("", "en", "Your order is on its way"),
        ("../../etc/passwd", "en", "Your order is on its way"),
    ],
)
def test_a_locale_means_its_region_then_its_language_then_english(locale: str, tag: str, title: str) -> None:
    tongue = language(locale)
    assert (tongue.tag, tongue.text("title")) == (tag, title)


def test_dates_and_numbers_are_the_regions_own() -> None:
    moment = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    assert language("en-GB").date(moment) == "21 November 2026"
    assert language("en-US").date(moment) == "November 21, 2026"
    assert language("sv-SE").date(moment.astimezone(ZoneInfo("Europe/Stockholm"))) == "22 november 2026"
    assert language("de-DE").number(1234567) == "1.234.567"
    assert language("de-CH").number(1234567) == "1\u2019234\u2019567"


def test_plurals_follow_the_language() -> None:
    assert [language("en").count("pieces", n) for n in (0, 1, 2)] == ["0 pieces", "1 piece", "2 pieces"]
    assert [language("fr").count("pieces", n) for n in (0, 1, 2)] == ["0 pièce", "1 pièce", "2 pièces"]


def test_countries_have_names() -> None:
    assert language("sv").country("DE") == "Tyskland"
    assert language("sv").country("de") == "Tyskland"
    assert language("sv").country("??") == "??"


def test_values_are_never_read_as_texts() -> None:
    assert language("en").text("greeting", name="{order} {0} {name.__class__}") == "Hello {order} {0} {name.__class__},"


@pytest.mark.parametrize("key", ["pieces", "no such key"])
def test_an_unknown_text_is_an_error(key: str) -> None:
    with pytest.raises(KeyError):
        language("en").text(key)


def test_what_counts_nothing_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        language("en").count("title", 1)
