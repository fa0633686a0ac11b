"""Foreign text neither hides nor disturbs what stands around it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.documents.text import settable, shortened, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Åsa   Öberg ", "Åsa Öberg"),
        ("a\r\nb\tc\u2028d", "a b c d"),
        ("a\x00b\x07c\x7fd\x9fe", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("\u202e1234\u202c", "\ufffd1234\ufffd"),
        ("half \ud800 of one", "half \ufffd of one"),
        ("סוף\u200f!", "סוף\u200f!"),
        ("👩\u200d🌾", "👩\u200d🌾"),
        ("#import $x$ *b* \\ _e_ `r` <l> @r = h", "#import $x$ *b* \\ _e_ `r` <l> @r = h"),
    ],
)
def test_what_is_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text())
@example("\ud83d\ude00")
def test_nothing_invisible_is_left_but_marks_that_languages_need(text: str) -> None:
    result = shown(text)
    result.encode()
    assert not [char for char in result if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}]
    assert shown(result) == result


@given(st.text(alphabet="aÅ -日#", max_size=200), st.booleans())
def test_marking_runs_changes_no_character(text: str, is_code: bool) -> None:
    parts = settable(text, is_code=is_code)
    assert "".join(parts) == shown(text)
    if isinstance(parts, list):
        assert all(len(run) > 12 and not set(run) & set(" -日") for run in parts[1::2])


def test_only_what_cannot_wrap_is_marked() -> None:
    assert settable("An ordinary name of an ordinary article, however long it may become") == (
        "An ordinary name of an ordinary article, however long it may become"
    )
    assert settable("x " + "Y" * 30 + " z") == ["x ", "Y" * 30, " z"]
    assert settable("手作り陶器のティーカップ" * 5) == "手作り陶器のティーカップ" * 5
    assert settable("0123456789ABC") == "0123456789ABC"
    assert settable("0123456789ABC", is_code=True) == ["", "0123456789ABC", ""]


def test_cutting_says_that_it_cut() -> None:
    assert shortened("Nordvik Living", 14) == "Nordvik Living"
    assert shortened("Nordvik Living", 9) == "Nordvik…"
