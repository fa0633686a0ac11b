"""JSON Lines: one order, as the intake takes it, on each line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import PydanticCustomError

from schemas.fields import clean_identifier
from service.order_import.records import MAX_LINE, Record


class JsonLines:
    """A file with an order on each line; blank lines do not count."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look_through(self) -> int:
        """Count the lines that are not blank."""
        with self._path.open("rb") as file:
            return sum(1 for _, line in _lines(file) if line is None or line.strip())

    def records(self) -> Iterator[Record]:
        """Read the orders. An order number that an earlier line has is a problem: which of the two is meant?"""
        # Eight bytes instead of the number: the one thing that grows with the file.
        seen: set[int] = set()
        with self._path.open("rb") as file:
            for number, line in _lines(file):
                if line is not None and not line.strip():
                    continue
                record = _read(number, line)
                if record.order_number is not None:
                    if hash(record.order_number) in seen:
                        record = Record(
                            number, number, record.order_number, problem="orderNumber: an earlier line has it"
                        )
                    seen.add(hash(record.order_number))
                yield record


def _read(number: int, line: bytes | None) -> Record:
    if line is None:
        return Record(number, number, problem=f"the line is longer than {MAX_LINE} bytes")
    try:
        document = json.loads(line.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        return Record(number, number, problem=f"not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}")
    except (ValueError, RecursionError) as error:
        return Record(number, number, problem=f"not JSON: {_reason(error)}")
    if not isinstance(document, dict):
        return Record(number, number, problem="expected a JSON object")
    return Record(number, number, _order_number(document), document)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def _order_number(document: dict[str, Any]) -> str | None:
    try:
        number = clean_identifier(document.get("orderNumber"))
    except PydanticCustomError:
        return None
    return number if isinstance(number, str) else None


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Number the lines; None stands for one that is too long to be held."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield number, None
        else:
            yield number, line
