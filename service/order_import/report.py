"""The report of an import: one entry per record, written while it runs, as CSV or JSON by the file's name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from service.order_import.records import UnusableFile
from service.order_import.run import Result
from service.spreadsheets import guard

FORMATS = (".csv", ".json")


def printable(text: str) -> str:
    """Return the text with everything that a terminal might obey, or a file could not hold, made visible."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


@contextmanager
def open_report(path: Path | None) -> Iterator[Callable[[Result], None]]:
    """Yield what to tell each result to. A report that is cut short is a whole file still. Raises `UnusableFile`."""
    if path is None:
        yield lambda _result: None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UnusableFile(f"--report {path}: {error.strerror}") from None
    with file, _as_json(file) if path.suffix == ".json" else _as_csv(file) as write:
        yield lambda result: write(_entry(result))


def _entry(result: Result) -> dict[str, Any]:
    return {
        "lines": result.lines,
        "orderNumber": printable(result.order_number or ""),
        "outcome": result.outcome,
        "shipments": list(result.shipments),
        "reason": printable("; ".join(result.reasons)),
    }


@contextmanager
def _as_csv(file: TextIO) -> Iterator[Callable[[dict[str, Any]], None]]:
    writer = csv.writer(file)
    writer.writerow(["lines", "orderNumber", "outcome", "shipments", "reason"])
    yield lambda entry: writer.writerow(
        [guard(" ".join(value) if isinstance(value, list) else value) for value in entry.values()]
    )


@contextmanager
def _as_json(file: TextIO) -> Iterator[Callable[[dict[str, Any]], None]]:
    between = "[\n"

    def write(entry: dict[str, Any]) -> None:
        nonlocal between
        file.write(between + json.dumps(entry, ensure_ascii=False))
        between = ",\n"

    try:
        yield write
    finally:
        file.write("[]\n" if between == "[\n" else "\n]\n")
