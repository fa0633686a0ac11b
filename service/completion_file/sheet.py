"""The rows of a file and what is known of each. Pure but for reading.

A result file is the same rows with three columns of ours behind them, and can be read like any other file: what it says
is done is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.completion_file.columns import NUMBER, TRACKING, Columns
from service.order_import.csv_rows import CsvFormat, Row, Unreadable, open_csv, read_header, read_rows
from service.spreadsheets import guard, unguard
from service.visible import visible

OURS: Final = ("status", "orderNumber", "error")
# Has shipped by this call, or had shipped before it.
DONE: Final = frozenset({200, 409})
# Of a line that is no row, as much as helps to find and mend it.
_LONGEST_QUOTE: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a row, in the API's terms. `retry_after_s`: when to ask again."""

    status: int
    order_number: str = ""
    error: str = ""
    retry_after_s: float = 0

    @property
    def done(self) -> bool:
        """Whether the shipment has left, so that there is nothing more to do."""
        return self.status in DONE

    @property
    def later(self) -> bool:
        """Whether the service had no time for it, and asks to be asked again."""
        return self.status == 503


@dataclass(frozen=True, slots=True)
class Shipment:
    """A row: its cells without ours, as they stand in the file, and what they say."""

    lines: str
    cells: tuple[str, ...]
    number: str = ""
    tracking: str = ""


@dataclass(slots=True)
class Sheet:
    """A file's rows, in its sequence, with the answer to each, None where there is none yet."""

    header: tuple[str, ...]
    form: CsvFormat
    shipments: list[Shipment] = field(default_factory=list)
    answers: list[Answer | None] = field(default_factory=list)

    def unanswered(self) -> list[int]:
        """Return which rows are still to be sent."""
        return [index for index, answer in enumerate(self.answers) if answer is None]

    def result_rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the result file's rows, header first."""
        yield (*map(guard, self.header), *OURS)
        for shipment, answer in zip(self.shipments, self.answers, strict=True):
            ours = (str(answer.status), answer.order_number, answer.error) if answer else ("", "", "")
            yield tuple(map(guard, (*shipment.cells, *ours)))


def read_sheet(path: Path, form: CsvFormat, columns: Columns) -> Sheet:
    """Read a whole file. Raises `UnusableFile`, and `WrongMapping` for a column that is not there.

    What cannot be sent is answered with 400 here, and so again when the result is fed back, until somebody mends it:
    a line with too few or too many cells may have its number in the wrong place.
    """
    with open_csv(path, form) as file:
        rows = read_rows(file, form)
        header = read_header(rows)
        fed_back = header.stripped().cells[-len(OURS) :] == OURS
        cells, _ = _split(header, fed_back=fed_back)
        sheet = Sheet(cells, form)
        places = columns.find([cell.strip() for cell in cells])
        for row in rows:
            if isinstance(row, Unreadable):
                shipment: Shipment = Shipment(_lines(row), ("",) * len(cells))
                answer: Answer | None = Answer(400, error=_complaint(row, form))
            else:
                own, ours = _split(row, fed_back=fed_back)
                shipment = _shipment(row, own, places)
                answer = _known(shipment, ours)
            sheet.shipments.append(shipment)
            sheet.answers.append(answer)
    return sheet


def find_delimiter(path: Path, encoding: str, columns: Columns) -> str:
    """Return the delimiter with which the header has the column of the numbers; a comma if there is none."""
    for delimiter in (",", ";", "\t", "|"):
        form = CsvFormat(encoding, delimiter)
        with open_csv(path, form) as file:
            header = next(read_rows(file, form), None)
        if isinstance(header, Row) and columns.number in header.stripped().cells:
            return delimiter
    return ","


def _split(row: Row, *, fed_back: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not fed_back:
        return row.cells, ("", "", "")
    cells = tuple(map(unguard, row.cells))
    return cells[: -len(OURS)], cells[-len(OURS) :]


def _shipment(row: Row, cells: tuple[str, ...], places: tuple[int, int | None]) -> Shipment:
    number, tracking = places
    return Shipment(_lines(row), cells, cells[number].strip(), "" if tracking is None else cells[tracking].strip())


def _known(shipment: Shipment, ours: tuple[str, ...]) -> Answer | None:
    """Return what an earlier run, or a look at the row, has told of it."""
    status, order_number, error = ours
    if status.strip() in map(str, DONE):
        return Answer(int(status), order_number, error)
    if not shipment.number:
        # What was said of a line that was no row says more.
        return Answer(400, error=error or f"line {shipment.lines}: {NUMBER}: must not be blank")
    for name, text in ((NUMBER, shipment.number), (TRACKING, shipment.tracking)):
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            return Answer(400, error=f"line {shipment.lines}: {name}: expected valid UTF-8")
    return None


def _lines(row: Row | Unreadable) -> str:
    return str(row.first_line) if row.first_line == row.last_line else f"{row.first_line}-{row.last_line}"


def _complaint(row: Unreadable, form: CsvFormat) -> str:
    found = visible(form.delimiter.join(row.cells))
    return f"line {_lines(row)}: {row.problem}" + (f": {found[:_LONGEST_QUOTE]}" if found else "")
