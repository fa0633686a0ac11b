"""Rows of a CSV file with their line numbers. What cannot be read is told and skipped, and never taken for a row."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from service.order_import.records import MAX_LINE, UnusableFile


@dataclass(frozen=True, slots=True)
class Row:
    """The cells below the header's, as they stand there."""

    first_line: int
    last_line: int
    cells: tuple[str, ...]

    def stripped(self) -> Row:
        """Return the row without the blanks around its cells."""
        return Row(self.first_line, self.last_line, tuple(cell.strip() for cell in self.cells))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Lines that hold no row. `cells`: what was found in them, if that is the problem."""

    first_line: int
    last_line: int
    problem: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How the file is written."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","


class _LineTooLong(Exception):
    pass


class _Lines:
    """Physical lines, counted. One that is too long to be held raises `_LineTooLong`; reading can go on after it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(("\n", "\r")):
                line = self._file.readline(MAX_LINE)
            raise _LineTooLong
        return line


def open_csv(path: Path, form: CsvFormat) -> TextIO:
    """Open the file. Raises `UnusableFile` where its first bytes contradict the encoding."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} and "16" not in form.encoding:
        raise UnusableFile("the file is UTF-16: add --encoding utf-16")
    # A byte that is not valid survives as a surrogate, and the field that it ends up in is refused by name.
    return path.open(encoding=form.encoding, errors="surrogateescape", newline="")


def read_header(rows: Iterator[Row | Unreadable]) -> Row:
    """Take the header off `rows`. Raises `UnusableFile` where there is none."""
    header = next(rows, None)
    if not isinstance(header, Row):
        raise UnusableFile(f"the header: {header.problem}" if header else "the file is empty")
    return header


def read_rows(file: TextIO, form: CsvFormat) -> Iterator[Row | Unreadable]:
    """Yield the header first, then every row that has as many cells, then what is between them."""
    lines = _Lines(file)
    # strict: a stray quote is told instead of guessed about.
    reader = csv.reader(lines, delimiter=form.delimiter, strict=True)
    width: int | None = None
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _LineTooLong:
            yield Unreadable(first, lines.number, f"a line is longer than {MAX_LINE} characters")
            continue
        except csv.Error as error:
            yield Unreadable(first, lines.number, f"not CSV: {error}")
            continue
        except UnicodeError as error:
            raise UnusableFile(f"line {lines.number + 1}: not {form.encoding}: {error}") from None
        if not any(cell.strip() for cell in cells):
            continue
        if width is None:
            width = len(cells)
        if len(cells) == width:
            yield Row(first, lines.number, tuple(cells))
        else:
            yield Unreadable(first, lines.number, f"{len(cells)} cells, but the header has {width}", tuple(cells))
