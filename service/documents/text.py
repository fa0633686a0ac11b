"""Foreign text made fit to be set: what cannot be seen is shown, what cannot be wrapped is given places to break.

Nothing needs escaping: text reaches the typesetter as data, never as its markup.
"""

from __future__ import annotations

import re
from typing import Final

# Plain text, or text in turns with runs that may be broken anywhere: even items are text, odd ones such runs.
SetText = str | list[str]

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_BREAKS = re.compile(r"[\s\x85\u2028\u2029]+")
# Controls, halves of characters, and the marks with which text can turn around what stands beside it. The weaker marks
# that Arabic and Hebrew are written with stay.
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]")
# Left out: hyphens, behind which lines may end, and the scripts that are written without spaces, whose lines the
# typesetter knows where to end.
_WORD = r"[^\s\-\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
_LONG_WORD = re.compile(f"({_WORD}{{25,}})")
_LONG_CODE = re.compile(f"({_WORD}{{13,}})")


def shown(text: str) -> str:
    """Return `text` on one line, with a visible sign for every character that has none."""
    return _UNSHOWABLE.sub(_REPLACEMENT, _BREAKS.sub(" ", text)).strip()


def settable(text: str, *, is_code: bool = False) -> SetText:
    """Return `text` as the templates take foreign text, so that it can neither hide nor leave its column.

    A code, such as an article's number, may be broken earlier than a word.
    """
    parts = (_LONG_CODE if is_code else _LONG_WORD).split(shown(text))
    return parts if len(parts) > 1 else parts[0]


def shortened(text: str, most: int) -> str:
    """Return `text` as it is shown, cut to `most` characters."""
    text = shown(text)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
