"""Foreign text made fit for a terminal or a line of a log: what is not shown but obeyed is spelled out."""

from __future__ import annotations

import re
from typing import Final

# Controls of both kinds (the second begins escape sequences of one character), line and paragraph separators, what
# turns the direction of text, and what is no text at all.
_OBEYED = "\x00-{}\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb"
_ANYWHERE: Final = re.compile("[" + _OBEYED.format("\x1f") + "]")
_IN_LINES: Final = re.compile("[" + _OBEYED.format("\x08\x0b-\x1f") + "]")


def visible(text: str) -> str:
    """Return `text` on one line, with an escape such as `\\u001b` for every character that is obeyed."""
    return text if text.isascii() and text.isprintable() else _ANYWHERE.sub(_spelled_out, text)


def visible_lines(text: str) -> str:
    """Return a text of several lines; only its tabs and line feeds stay as they are."""
    return _IN_LINES.sub(_spelled_out, text)


def _spelled_out(found: re.Match[str]) -> str:
    # As JSON writes it, so that a line of JSON stays one and means the same.
    return f"\\u{ord(found[0]):04x}"
