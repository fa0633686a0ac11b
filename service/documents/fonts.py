"""The typefaces of documents: Noto Sans for every script, from two PyPI packages that hold nothing else.

The machine's own fonts are left alone, so that a document looks the same wherever it is made.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import typst

_PACKAGES: Final = ("manimgx_fonts", "manimgx_fonts_cjk")
_TEXT: Final = "Noto Sans"
# Chinese, Japanese and Korean share characters and write them differently.
_EAST_ASIAN: Final = {
    "zh": "SC", "CN": "SC", "SG": "SC",
    "zh_Hant": "TC", "zh_TW": "TC", "TW": "TC",
    "zh_HK": "HK", "HK": "HK", "zh_MO": "HK", "MO": "HK",
    "ko": "KR", "KR": "KR", "KP": "KR",
    "ja": "JP", "JP": "JP",
}  # fmt: skip


@cache
def load_fonts() -> typst.Fonts:
    """Return the index of all typefaces; their files are read when a document first needs them."""
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=[str(resources.files(package)) for package in _PACKAGES],
    )


def families(*, locale: str, country: str | None) -> list[str]:
    """Return the families to look for a character in, in this order; then the typesetter looks in all the others.

    East Asian characters take the shapes of the locale's language, else those of the country delivered to.
    """
    parts = locale.replace("-", "_").split("_")
    keys = (*(f"{parts[0]}_{part}" for part in parts[1:]), parts[0], country)
    return [_TEXT, f"Noto Sans CJK {next((_EAST_ASIAN[key] for key in keys if key in _EAST_ASIAN), 'JP')}"]
