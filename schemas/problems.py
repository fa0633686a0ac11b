"""What is wrong with a body, for people: each field by its path, and what was expected there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError

# Nobody reads more, and a body of thousands of wrong lines would be answered with as many.
MOST_PROBLEMS: Final = 20

# Type of an error about several fields, which its message names.
NAMES_ITS_FIELDS: Final = "names_its_fields"


def field_path(location: Sequence[int | str]) -> str:
    """Write a location as `lines[0].unitPrice`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            # The name of a field is ours, but the key of an object is what was sent.
            name = "".join(each if each.isprintable() else "\ufffd" for each in part)
            path += f".{name}" if path else name
    return path


def problems_of(error: ValidationError, note: Callable[[Sequence[int | str]], str] = lambda _location: "") -> list[str]:
    """Name every wrong field and what was expected; what was sent is not repeated.

    `note` adds to each field's problem where the field came from.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    problems = []
    for item in found[:MOST_PROBLEMS]:
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "json_invalid":
            return [f"The body is not valid JSON: {message.removeprefix('Invalid JSON: ')}"]
        if item["type"] == NAMES_ITS_FIELDS:
            problems.append(message)
        else:
            problems.append(f"{field_path(item['loc']) or 'body'}: {message}{note(item['loc'])}")
    if len(found) > MOST_PROBLEMS:
        problems.append(f"and {len(found) - MOST_PROBLEMS} more")
    return problems
