"""What fields accept, for the documents: pydantic can only tell what their validators make of it.

White space around a value is no part of it and not described.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# Fits an integer column, also when summed over an order, which is checked there.
MAX_QUANTITY: Final = 1_000_000_000

_NO_CONTROL: Final = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
VISIBLE: Final = rf"^{_NO_CONTROL}*[^\s\u0000-\u001f\u007f-\u009f]{_NO_CONTROL}*$"
# Blank is not sent.
PERHAPS_BLANK: Final = rf"^{_NO_CONTROL}*$"
CODE: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_DECIMAL_TEXT: Final = r"^(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}|-0{1,40}(?:\.0{0,40})?)$"


def text_schema(max_length: int, *, optional: bool = False, number: bool = False) -> dict[str, object]:
    """Return the JSON Schema of text without control characters, `optional`: or null, `number`: or a whole number."""
    kinds = ["string", *(["integer"] if number else []), *(["null"] if optional else [])]
    return {
        "type": kinds if len(kinds) > 1 else kinds[0],
        **({} if optional else {"minLength": 1}),
        "maxLength": max_length,
        "pattern": PERHAPS_BLANK if optional else VISIBLE,
    }


def whole_number_schema(least: int, most: int, *, blank: bool = False) -> dict[str, object]:
    """Return the JSON Schema of a whole number from `least` (0 or 1) to `most`, which may be text and end with `.0`."""
    digits = len(str(most)) - 1
    some = rf"0{{0,9}}(?:{most}|[1-9][0-9]{{0,{digits - 1}}})" + ("" if least else "|-?0{1,9}")
    pattern = rf"^(?:{some})(?:\.0{{0,9}})?$"
    return {
        "anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": rf"{pattern[:-1]}$|^\s*$" if blank else pattern},
            *([{"type": "null"}] if blank else []),
        ]
    }


def flag_schema(true: Collection[str], false: Collection[str], *, optional: bool = False) -> dict[str, object]:
    """Return the JSON Schema of a boolean, which may be 1 or 0 or one of these words in any case."""
    words = "|".join(_any_case(word) for word in [*sorted(true), *sorted(false)])
    return {
        "anyOf": [
            {"type": ["boolean", "null"] if optional else "boolean"},
            {"enum": [1, 0]},
            {"type": "string", "pattern": rf"^(?:{words})$" + (r"|^\s*$" if optional else "")},
        ]
    }


def pieces_schema() -> dict[str, object]:
    """Return the JSON Schema of pieces by lineId."""
    return {
        "type": "object",
        "propertyNames": text_schema(64),
        "additionalProperties": whole_number_schema(1, MAX_QUANTITY),
    }


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word)


AMOUNT: Final = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DECIMAL_TEXT}]}
RATE: Final = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^(?:0{0,9}(?:0|1)(?:\.0{0,6})?|0{0,9}\.[0-9]{1,6}|0{1,9}\.[0-9]{0,6})$"},
    ]
}
